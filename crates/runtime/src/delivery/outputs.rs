//! Outputs: a name is reserved, the file is published under it, and the deliveries that it is are made ready for
//! the ledger. Every file that Handover writes into a folder goes through here.

use super::Attempt;
use super::naming::{Naming, OUT, Place};
use super::payload::FilePayload;
use crate::config::Hop;
use crate::context::Context;
use crate::engine::held::Lease;
use handover_core::manifest::SCHEMA_VERSION;
use handover_core::name::MANIFEST_SUFFIX;
use handover_core::{AppName, Delivery, DeliveryId, Error, ErrorKind, Kind, Manifest, NewDelivery, Result};
use handover_file::draft::Written;
use handover_file::layout::{highest_sequence, last_changed, name_taken};
use handover_file::publish::{AskLease, Owner, PublishRequest, Published, Stands, Unpublished};
use handover_ledger::{Held, Reservation};
use jiff::SignedDuration;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use tokio::sync::oneshot;

/// By so much a file system's clock may be behind ours.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_millis(100);

/// A name that is ours, and the folder it is for.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) reservation: Reservation,
    pub(crate) folder: PathBuf,
    pub(crate) naming: Naming,
}

impl Named {
    /// The file's name.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.{}", self.reservation.stem, self.naming.ext)
    }
}

/// What the manifest says beyond what the file and the attempt say themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Says {
    /// Where it goes next.
    pub(crate) hops: Vec<Hop>,
    /// The flows that it belongs to.
    pub(crate) flows: Vec<String>,
    /// Rows rejected on the way.
    pub(crate) rows_rejected: Option<u64>,
    /// More fields.
    pub(crate) more: Map<String, Value>,
    /// The row count, where the app knows it better than the extension does.
    pub(crate) row_count: Option<u64>,
}

/// A published file, and the deliveries that it is.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) payload: FilePayload,
    pub(crate) deliveries: Vec<NewDelivery>,
}

/// By which right outputs are made.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// A claim, for as long as it stands.
    Claim(&'a Held, &'a Lease),
    /// The delivery was born ended, as a refusal is, so there is no claim to lose: each output until it is a delivery.
    BornEnded,
}

/// Who makes outputs: an app, for a delivery.
pub(crate) struct Maker<'a> {
    pub(crate) ctx: &'a Arc<Context>,
    pub(crate) by: &'a AppName,
    pub(crate) delivery: &'a Delivery,
    /// The trace context of what it makes.
    pub(crate) trace: Option<String>,
    pub(crate) right: Right<'a>,
}

impl Attempt {
    /// This attempt as one who makes outputs.
    pub(crate) fn maker(&self) -> Maker<'_> {
        self.lease.lasts_until(self.delivery.lease_until);
        let right = Right::Claim(&self.held, &self.lease);
        Maker {
            ctx: &self.ctx,
            by: &self.app.name,
            delivery: &self.delivery,
            trace: self.traceparent(),
            right,
        }
    }

    /// Reserves a name for an output of this attempt, or finds the one that an earlier attempt reserved.
    pub(crate) async fn reserve(&self, naming: Naming) -> Result<Named> {
        let ahead = match naming.slot == OUT {
            true => self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        self.maker().reserve_from(ahead, naming).await
    }

    /// Publishes an output of this attempt.
    pub(crate) async fn publish(&self, named: Named, written: Written, says: Says) -> Result<Output> {
        self.maker().publish(named, written, says).await
    }
}

impl Maker<'_> {
    /// Reserves the name, or finds the one that an earlier attempt reserved.
    pub(crate) async fn reserve(&self, naming: Naming) -> Result<Named> {
        self.reserve_from(None, naming).await
    }

    /// The same, where the name may have been reserved ahead.
    async fn reserve_from(&self, ahead: Option<Reservation>, naming: Naming) -> Result<Named> {
        let folder = match &naming.place {
            Place::Data(name) => self.ctx.project.data.folder(name, naming.date),
            Place::Outside(path) => path.clone(),
        };
        let mut ahead = ahead.filter(|ahead| ahead.folder == naming.key());
        let mut floor = 0;
        loop {
            let reservation = match ahead.take() {
                Some(ahead) => ahead,
                None => self.ctx.project.ledger.reserve(naming.reserve(self.delivery.id, floor)).await?,
            };
            let taken = match reservation.fresh {
                true => name_taken(&folder, &reservation.stem, &naming.ext)?,
                // An earlier attempt made it, and a crash may have kept it from this look. What is a delivery already,
                // as a report of a delivery that failed and is retried, stays as the ledger has it.
                false => {
                    self.ctx.project.ledger.get(reservation.file_id).await?.is_some()
                        || self.is_anothers(&reservation, &folder, &naming.ext)?
                }
            };
            if !taken {
                return Ok(Named { reservation, folder, naming });
            }
            // Somebody else's file has this name: the name is given up, and the next comes after the folder's last.
            self.discard(&reservation).await?;
            if naming.stem.is_some() {
                return Err(Error::new(
                    ErrorKind::Exists,
                    "a file that is not ours has the name of this export",
                )
                .on(folder.join(&reservation.stem).display())
                .hint("move it away, or put {sequence} or {hash} into the exporter's `name`"));
            }
            floor = highest_sequence(&folder, &naming.app, &naming.type_name, naming.date)?
                .max(reservation.sequence);
        }
    }

    /// Gives a name up, where it is still ours to give up: whoever has taken the delivery over uses it, and what stands
    /// there may be theirs.
    async fn discard(&self, reservation: &Reservation) -> Result<()> {
        let by = match self.right {
            Right::Claim(held, _) => Some(held),
            Right::BornEnded => None,
        };
        self.ctx.project.ledger.discard(reservation, by).await
    }

    /// Gives a name up that this output shall not have any more, with what an earlier attempt published under it.
    pub(crate) async fn withdraw(&self, named: &Named) -> Result<()> {
        self.discard(&named.reservation).await?;
        let (owner, folder) = (self.owner(&named.reservation), named.folder.clone());
        let stem = named.reservation.stem.clone();
        super::blocking(move || owner.withdraw(&folder, &stem)).await
    }

    fn owner(&self, reservation: &Reservation) -> Owner {
        Owner {
            delivery_id: Some(reservation.file_id.to_string()),
            ledger: Some(self.ctx.project.ledger.identity().to_owned()),
        }
    }

    /// Whether what stands at a name that an earlier attempt reserved is not that attempt's. A data file that nothing
    /// tells of is judged when it is known what is published; one that lay there before the name was reserved, now.
    fn is_anothers(&self, reservation: &Reservation, folder: &Path, ext: &str) -> Result<bool> {
        Ok(match self.owner(reservation).at(folder, &reservation.stem, ext)? {
            Stands::Nothing | Stands::Ours => false,
            Stands::Anothers => true,
            Stands::Unmarked => {
                let before =
                    reservation.reserved_at.checked_sub(CLOCKS_DIFFER).unwrap_or(reservation.reserved_at);
                let lay_there = last_changed(&folder.join(format!("{}.{ext}", reservation.stem)))?;
                lay_there.is_some_and(|at| at < before)
            }
        })
    }

    /// Publishes what was written under the reserved name; where somebody else's file has come to stand there since the
    /// name was reserved, under the next.
    pub(crate) async fn publish(&self, mut named: Named, mut written: Written, says: Says) -> Result<Output> {
        loop {
            let unpublished = match self.publish_as(&named, written, &says).await? {
                Ok(output) => return Ok(output),
                Err(unpublished) => unpublished,
            };
            if unpublished.error.kind() != ErrorKind::Exists {
                return Err(unpublished.error);
            }
            self.discard(&named.reservation).await?;
            written = match unpublished.written {
                Some(written) if named.naming.stem.is_none() => *written,
                _ => return Err(unpublished.error),
            };
            named = self.reserve(named.naming).await?;
        }
    }

    async fn publish_as(
        &self,
        named: &Named,
        written: Written,
        says: &Says,
    ) -> Result<Result<Output, Unpublished>> {
        let manifest = self.manifest(named, &written, says);
        let (done, answer) = oneshot::channel();
        let request = PublishRequest {
            folder: named.folder.clone(),
            name: manifest.filename.clone(),
            stem: named.reservation.stem.clone(),
            manifest: manifest.clone(),
            fresh: named.reservation.fresh,
            written,
            may_replace: self.still_holds(&named.reservation),
            may_publish: self.still_wanted(),
        };
        self.ctx
            .process
            .published
            .add(&named.folder.join(format!("{}{MANIFEST_SUFFIX}", named.reservation.stem)));
        // It waits where its queue is full, which the pools' places do not let happen.
        self.ctx.process.publisher.submit(request, move |outcome| drop(done.send(outcome)));
        match answer.await.map_err(|_| Error::internal("the publisher ended"))? {
            Ok(published) => self.keep_in_mind(published),
            Err(unpublished) => return Ok(Err(unpublished)),
        }
        let path = self.path_text(&named.folder.join(&manifest.filename));
        let deliveries = self.deliveries(&manifest, &path, named.reservation.file_id, says);
        Ok(Ok(Output { payload: FilePayload { manifest, path }, deliveries }))
    }

    /// A path as the ledger keeps it: within the data directory where it is, else absolute.
    fn path_text(&self, path: &Path) -> String {
        self.ctx.project.data.relative(path).unwrap_or_else(|| handover_core::path_text::to_text(path))
    }

    /// What was published under a claim is taken back should that turn out to be lost.
    fn keep_in_mind(&self, published: Published) {
        if let Right::Claim(_, lease) = self.right {
            lease.has_published(published);
        }
    }

    /// Asks the ledger, from the publisher's thread, whether this attempt still holds its lease; of what was born ended,
    /// whether this output is not handed over yet.
    fn still_holds(&self, reservation: &Reservation) -> AskLease {
        let (handle, ledger, file_id) =
            (tokio::runtime::Handle::current(), self.ctx.project.ledger.clone(), reservation.file_id);
        match self.right {
            Right::BornEnded => Box::new(move || Ok(handle.block_on(ledger.get(file_id))?.is_none())),
            Right::Claim(held, _) => {
                let held = held.clone();
                Box::new(move || handle.block_on(ledger.holds(&held)))
            }
        }
    }

    /// Asks whether the work is still wanted: what this process knows of its lease is enough while that has not been
    /// reported lost and has long to last; else the ledger is asked.
    fn still_wanted(&self) -> AskLease {
        let Right::Claim(held, lease) = self.right else { return Box::new(|| Ok(true)) };
        let (handle, project, held, lease) =
            (tokio::runtime::Handle::current(), self.ctx.project.clone(), held.clone(), lease.clone());
        Box::new(move || match lease.is_lost() {
            true => Ok(false),
            false if lease.lasts_at(project.clock.now(), project.config.lease / 2) => Ok(true),
            false => handle.block_on(project.ledger.holds(&held)),
        })
    }

    fn manifest(&self, named: &Named, written: &Written, says: &Says) -> Manifest {
        // A record's own fields are none of ours.
        let inputs = match self.delivery.kind {
            Kind::Record => None,
            Kind::File | Kind::Job => {
                self.delivery.data.get("replay_of").and_then(Value::as_str).map(str::to_owned)
            }
        };
        let replay_of = self.delivery.replay_of.map(|id| id.to_string()).or(inputs);
        let targets: Vec<AppName> = says.hops.iter().map(|hop| hop.to.clone()).collect();
        Manifest {
            filename: named.file_name(),
            created_at: self.ctx.project.clock.now(),
            created_by: self.by.clone(),
            row_count: says.row_count.or(written.row_count),
            file_size: written.file_size,
            checksum: written.checksum,
            schema_version: SCHEMA_VERSION.to_owned(),
            next_app: targets.first().cloned(),
            next_apps: if targets.len() > 1 { targets } else { Vec::new() },
            delivery_id: Some(named.reservation.file_id.to_string()),
            parents: vec![self.delivery.id.to_string()],
            flow: says.flows.first().cloned(),
            flows: says.flows.clone(),
            rows_rejected: says.rows_rejected,
            traceparent: self.trace.clone(),
            replay_of,
            ledger: Some(self.ctx.project.ledger.identity().to_owned()),
            more: says.more.clone(),
        }
    }

    fn deliveries(
        &self,
        manifest: &Manifest,
        path: &str,
        file_id: DeliveryId,
        says: &Says,
    ) -> Vec<NewDelivery> {
        let attempts =
            |app: &AppName| self.ctx.config().app(app.as_str()).map_or(1, |app| app.max_attempts());
        hand_over(manifest, path, file_id, &says.hops, attempts)
            .into_iter()
            .map(|mut new| {
                new.priority = self.delivery.priority;
                new.order_key.clone_from(&self.delivery.order_key);
                new.trace.clone_from(&self.trace);
                new
            })
            .collect()
    }
}

/// The deliveries that a published file is: one for each app that it goes to, or one that ends here. The first has
/// the number that the manifest names.
pub(crate) fn hand_over(
    manifest: &Manifest,
    path: &str,
    file_id: DeliveryId,
    hops: &[Hop],
    attempts: impl Fn(&AppName) -> u32,
) -> Vec<NewDelivery> {
    let data = |flows: &[String]| {
        let manifest = Manifest { flow: flows.first().cloned(), flows: flows.to_vec(), ..manifest.clone() };
        FilePayload { manifest, path: path.to_owned() }.to_value()
    };
    let source = manifest.created_by.to_string();
    if hops.is_empty() {
        let end = NewDelivery::new(Kind::File, source, None, data(&manifest.flows));
        return vec![NewDelivery { id: Some(file_id), flow: manifest.flow.clone(), ..end }];
    }
    hops.iter()
        .enumerate()
        .map(|(i, hop)| NewDelivery {
            id: (i == 0).then_some(file_id),
            flow: hop.flows.first().cloned(),
            max_attempts: attempts(&hop.to),
            ..NewDelivery::new(Kind::File, source.clone(), Some(hop.to.to_string()), data(&hop.flows))
        })
        .collect()
}
