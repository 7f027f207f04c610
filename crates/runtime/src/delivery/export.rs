//! Exporting: out of the data directory, flat into a folder, under a name of the exporter's pattern, verified after
//! it was written and before it is published.

use super::outputs::{Named, Naming, Place, Says, naming_like};
use super::payload::FilePayload;
use super::rows::{blocking, flows_of, summary};
use super::{Attempt, Failed, Finished, Slot};
use crate::built::Export;
use handover_apps::exporter::{Content, NameParts};
use handover_apps::{Exporter, Outcome, RowApp};
use handover_core::{Checksum, Error, ErrorKind, Result};
use handover_file::draft::Written;
use handover_file::make_dirs;
use std::fs::File;
use std::sync::Arc;

/// So many names are tried before an export gives up.
const SEQUENCES_MAX: u32 = 10_000;

impl Attempt {
    pub(super) async fn export(&self, slot: &mut Slot) -> Result<Finished, Failed> {
        let export = self.ctx.built.exporters.get(&self.app.name).cloned();
        let export = export.ok_or_else(|| Error::internal("an exporter was not made"))?;
        let payload = FilePayload::of(&self.delivery)?;
        let name = payload.name()?;
        let ext = export.exporter.output_ext(&name.ext);
        make_dirs(&export.to)?;
        let naming =
            naming_like(&name, "out", Place::Outside(export.to.clone()), &self.app.name, ext.clone());
        // A name with the content's hash in it is known only when the content is; any other is reserved first.
        let early = match export.exporter.name_needs_hash() {
            false => Some(self.reserve_export(&export, naming.clone(), None).await?),
            true => None,
        };
        slot.begin().await?;
        let app: Arc<dyn RowApp> = export.exporter.clone();
        let ran = self.run_rows(app, payload.clone(), ext, Some(export.to.clone())).await?;
        let output = self.verify(export.exporter.clone(), &ran.outcome, ran.output).await?;
        slot.free();
        let named = match early {
            Some(named) => named,
            None => self.reserve_export(&export, naming, Some(output.checksum)).await?,
        };
        let hops = self.ctx.routes.next(&self.app.name, &payload.manifest.flows);
        let mut summary = summary(&ran.outcome);
        let says = Says {
            flows: flows_of(&hops, &payload.manifest.flows),
            hops,
            rows_rejected: Some(ran.outcome.rows_rejected),
            row_count: payload.manifest.row_count.map(|_| ran.outcome.rows_out),
            more: ran.outcome.manifest,
        };
        let made = self.publish(named, output, says).await?;
        summary.outputs.push(made.payload.path.clone());
        summary.bytes_out = Some(made.payload.manifest.file_size);
        Ok(Finished { summary, next: made.deliveries, ..Finished::default() })
    }

    /// Reserves the export's name: by the convention, or by a pattern of its own, with the first sequence from the
    /// input's on whose name is free.
    async fn reserve_export(
        &self,
        export: &Export,
        naming: Naming,
        checksum: Option<Checksum>,
    ) -> Result<Named> {
        if export.by_convention {
            return self.reserve(naming).await;
        }
        let first = naming.wanted.unwrap_or(1);
        let mut tried = String::new();
        for sequence in first..first.saturating_add(SEQUENCES_MAX) {
            let parts = NameParts {
                app: &naming.app,
                type_name: &naming.type_name,
                date: naming.date,
                sequence,
                ext: &naming.ext,
                checksum: checksum.unwrap_or(Checksum([0; 32])),
            };
            let name = export.exporter.render_name(&parts)?;
            if name == tried {
                break;
            }
            let (stem, ext) = name.split_once('.').unwrap_or((&name, "dat"));
            let own = Naming { stem: Some(stem.to_owned()), ext: ext.to_owned(), ..naming.clone() };
            match self.reserve(own).await {
                Err(e) if e.kind() == ErrorKind::Exists => tried = name,
                other => return other,
            }
        }
        Err(Error::new(ErrorKind::Exists, "the name of this export is taken")
            .on(export.to.join(tried).display())
            .hint("exports never replace anything: put {sequence} or {hash} into the exporter's `name`"))
    }

    /// Reads what was written again, unpacked, and compares it with what went in.
    async fn verify(&self, exporter: Arc<Exporter>, outcome: &Outcome, written: Written) -> Result<Written> {
        let Some(expected) = Content::of(outcome).filter(|_| exporter.verifies()) else { return Ok(written) };
        blocking(move || {
            let mut file =
                File::open(written.path()).map_err(|e| Error::io("open", written.path().display(), e))?;
            exporter.verify_written(&mut file, &expected)?;
            Ok(written)
        })
        .await
    }
}
