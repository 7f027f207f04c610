//! Exporting: out of the data directory, flat into a folder or several, whole or in parts, under names of the exporter's
//! pattern, verified after they were written and before they are published.
//!
//! Invariants: all files of an export are written and verified before the first is published, and its delivery completes
//! when the last one is. Each has its own reservation, so a retry after a crash between two of them replaces what is
//! there and publishes the rest.

use super::naming::{Naming, Place, naming_like};
use super::outputs::{Named, Says};
use super::payload::STANDS_FOR;
use super::rows::{blocking, flows_of, summary};
use super::source::Source;
use super::{Attempt, Failed, Finished, Slot};
use crate::built::Export;
use handover_apps::exporter::{Content, ExportFrom, NameParts, PartFile};
use handover_apps::{Outcome, RowApp, RunOptions};
use handover_core::{Checksum, Error, ErrorKind, FileName, Result};
use handover_file::draft::{Draft, Written};
use handover_file::make_dirs;
use handover_records::Watch;

/// So many names are tried before an export gives up.
const SEQUENCES_MAX: u32 = 10_000;

/// Whether a name carries this content's hash: its first twelve hex digits.
fn carries(stem: &str, checksum: &Checksum) -> bool {
    let hash: String = checksum.0[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    stem.contains(&hash)
}

/// The files that an export is, written but not published.
struct Exported {
    outcome: Outcome,
    files: Vec<PartFile<Written>>,
    rejected: Option<Written>,
}

/// Which of an export's files: in which of the folders, and which part, both from 0.
#[derive(Clone, Copy)]
struct Which {
    place: usize,
    part: usize,
}

impl Which {
    /// The output of the delivery that it is: `out`, `out-2` for the second part, `out-to2` in the second folder.
    fn slot(self) -> String {
        let mut slot = "out".to_owned();
        if self.part > 0 {
            slot.push_str(&format!("-{}", self.part + 1));
        }
        if self.place > 0 {
            slot.push_str(&format!("-to{}", self.place + 1));
        }
        slot
    }
}

impl Attempt {
    pub(super) async fn export(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let export = self.ctx.built.exporters.get(&self.app.name).cloned();
        let export = export.ok_or_else(|| Error::internal("an exporter was not made"))?;
        let source = self.reads()?;
        let source = source.filter(|source| source.file().is_some());
        let lacks = || Error::bad_data("an exporter works on a file, and this job has none");
        let source = source.ok_or_else(lacks)?;
        let name = source.name.clone();
        let ext = export.exporter.output_ext(&name.ext);
        export.folders.iter().try_for_each(|folder| make_dirs(folder))?;
        // A name with the content's hash in it is known only when the content is, and how many parts there are when
        // all are written; any other name is reserved first.
        let mut early = Vec::new();
        if !export.exporter.name_needs_hash() && !export.exporter.splits() {
            for place in 0..export.folders.len() {
                let naming = self.export_naming(&export, &name, &ext, Which { place, part: 0 });
                early.push(self.reserve_export(&export, naming, 1, None).await?);
            }
        }
        slot.begin().await?;
        let Exported { mut outcome, files, rejected } =
            self.run_export(export.clone(), source.clone(), ext.clone()).await?;
        let mut made = Finished { summary: summary(&outcome), ..Finished::default() };
        if let Some(error) = outcome.refuse.take() {
            return Err(Failed { summary: made.summary, ..Failed::from(error) });
        }
        let counted = files.iter().map(|file| (file.rows, file.content)).collect::<Vec<_>>();
        let places = self.in_all_places(export.clone(), files).await?;
        slot.free();
        if let Some(rejected) = rejected {
            let flows = &source.flows;
            let rejects = self.publish_rejected(&name, flows, rejected, outcome.rows_rejected).await?;
            made.summary.outputs.push(rejects.payload.path);
            made.next.extend(rejects.deliveries);
        }
        let mut early = early.into_iter();
        for (place, files) in places.into_iter().enumerate() {
            let mut wanted = name.sequence;
            for (part, written) in files.into_iter().enumerate() {
                let named = match early.next() {
                    Some(named) => named,
                    None => {
                        let mut naming = self.export_naming(&export, &name, &ext, Which { place, part });
                        naming.wanted = Some(wanted);
                        let number = u32::try_from(part + 1).unwrap_or(u32::MAX);
                        self.reserve_export(&export, naming, number, Some(written.checksum)).await?
                    }
                };
                wanted = named.reservation.sequence.saturating_add(u32::from(export.by_convention));
                let (rows, content) = counted[part];
                let content =
                    content.unwrap_or(Content { checksum: written.checksum, bytes: written.file_size });
                let says = export.exporter.manifest_of(Some(content), rows, part + 1, counted.len());
                let mut says = self.says_of(&source, &outcome, place == 0, rows, says);
                if !export.by_convention {
                    // What comes after an exporter needs its date, type and sequence all the same.
                    let stands_for = FileName {
                        app: self.app.name.clone(),
                        ext: named.naming.ext.clone(),
                        ..name.clone()
                    };
                    says.more.insert(STANDS_FOR.to_owned(), stands_for.to_string().into());
                }
                let output = self.publish(named, written, says).await?;
                let bytes = made.summary.bytes_out.unwrap_or(0);
                made.summary.bytes_out = Some(bytes + output.payload.manifest.file_size);
                made.summary.outputs.push(output.payload.path);
                made.next.extend(output.deliveries);
            }
        }
        Ok(made)
    }

    fn export_naming(&self, export: &Export, name: &FileName, ext: &str, which: Which) -> Naming {
        let place = Place::Outside(export.folders[which.place].clone());
        naming_like(name, which.slot(), place, &self.app.name, ext.to_owned())
    }

    /// What the manifest of one file says. Only the files of the first folder go on along the flow.
    fn says_of(
        &self,
        source: &Source,
        outcome: &Outcome,
        first: bool,
        rows: u64,
        more: Vec<(String, serde_json::Value)>,
    ) -> Says {
        let hops = self.ctx.routes.next(&self.app.name, &source.flows);
        let counts = source.file().is_some_and(|file| file.manifest.row_count.is_some()) || rows > 0;
        let mut says = Says {
            flows: flows_of(&hops, &source.flows),
            hops: if first { hops } else { Vec::new() },
            rows_rejected: Some(outcome.rows_rejected),
            row_count: counts.then_some(rows),
            more: outcome.manifest.clone(),
        };
        says.more.extend(more);
        says
    }

    /// Runs the exporter on a blocking thread, into drafts in the first folder.
    async fn run_export(&self, export: Export, source: Source, ext: String) -> Result<Exported> {
        let rejected_ext = export.exporter.rejected_ext(&source.name.ext);
        let known = source
            .file()
            .map(|file| Content { checksum: file.manifest.checksum, bytes: file.manifest.file_size });
        let work = self.on_input(source).await?;
        blocking(move || {
            let exporter = &export.exporter;
            let (rejected, (outcome, drafts)) = work.run(exporter.name(), rejected_ext, |io| {
                let from = ExportFrom {
                    input: io.input,
                    input_ext: io.input_ext,
                    watch: Watch { progress: None, cancelled: Some(io.cancelled) },
                    options: RunOptions::default(),
                    known,
                    hash_content: true,
                };
                let mut open = |same_bytes: bool| {
                    let draft = Draft::beside(&export.folders[0], &work.holder, &ext)?;
                    Ok(match known.filter(|_| same_bytes) {
                        _ if !exporter.verifies() => draft,
                        // The input is checked as it is read, and so need not be hashed again as it is written.
                        Some(known) => draft.verified_as(known.bytes, known.checksum),
                        None => draft.verified(),
                    })
                };
                exporter.export(from, io.rejected, &mut open)
            })?;
            let finish = |PartFile { out, rows, content }: PartFile<Draft>| {
                Ok(PartFile { out: out.finish()?, rows, content })
            };
            let files = drafts.into_iter().map(finish).collect::<Result<Vec<_>>>()?;
            Ok(Exported { outcome, files, rejected })
        })
        .await
    }

    /// Copies the files into the other folders, and reads the copies again where that is asked for: the files themselves
    /// were read as they were written.
    async fn in_all_places(
        &self,
        export: Export,
        files: Vec<PartFile<Written>>,
    ) -> Result<Vec<Vec<Written>>> {
        blocking(move || {
            let mut places = vec![files.into_iter().map(|file| file.out).collect::<Vec<_>>()];
            for folder in &export.folders[1..] {
                let copies = places[0].iter().map(|written| written.copy_to(folder));
                let copies = copies.collect::<Result<Vec<_>>>()?;
                if export.exporter.verifies() {
                    copies.iter().try_for_each(Written::read_again)?;
                }
                places.push(copies);
            }
            Ok(places)
        })
        .await
    }

    /// Reserves the export's name: by the convention, or by a pattern of its own, with the first sequence from the
    /// input's on whose name is free.
    async fn reserve_export(
        &self,
        export: &Export,
        naming: Naming,
        part: u32,
        checksum: Option<Checksum>,
    ) -> Result<Named> {
        if export.by_convention {
            return self.reserve(naming).await;
        }
        let first = naming.wanted.unwrap_or(1);
        let place = match &naming.place {
            Place::Outside(folder) => folder.clone(),
            Place::Data(folder) => folder.into(),
        };
        let mut tried = String::new();
        for sequence in first..first.saturating_add(SEQUENCES_MAX) {
            let parts = NameParts {
                app: &naming.app,
                type_name: &naming.type_name,
                date: naming.date,
                sequence,
                ext: &naming.ext,
                checksum: checksum.unwrap_or(Checksum([0; 32])),
                part,
            };
            let name = export.exporter.render_name(&parts)?;
            if name == tried {
                break;
            }
            let (stem, ext) = name.split_once('.').unwrap_or((&name, "dat"));
            let own = Naming { stem: Some(stem.to_owned()), ext: ext.to_owned(), ..naming.clone() };
            let named = match self.reserve(own.clone()).await {
                Err(e) if e.kind() == ErrorKind::Exists => {
                    tried = name;
                    continue;
                }
                other => other?,
            };
            let needs_hash = export.exporter.name_needs_hash();
            if checksum.is_none_or(|checksum| !needs_hash || carries(&named.reservation.stem, &checksum)) {
                return Ok(named);
            }
            // An earlier attempt wrote something else, and its name says so.
            self.maker().withdraw(&named).await?;
            return self.reserve(own).await;
        }
        Err(Error::new(ErrorKind::Exists, "the name of this export is taken")
            .on(place.join(tried).display())
            .hint("exports never replace anything: put {sequence} or {hash} into the exporter's `name`"))
    }
}
