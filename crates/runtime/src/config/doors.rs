//! By which door deliveries enter an app: what a record that is handed to it becomes, and what becomes of a file.
//!
//! Records come by SQL, by `handover push`, or from an app that works on records. One that is handed to an app
//! - is given to its program, one a line or one a run, where a link by database leads to the app, or it is a program
//!   that no link by file leads to, or a stream program;
//! - is gathered with others into a file, where links by file lead to the app and one of them comes from an app that
//!   works on records;
//! - is posted to a service app that a link leads to;
//! - waits otherwise: `why` says so.
//!
//! A file that is handed over by database is split into records first. Nothing here does anything: it is what the
//! configuration says, and what is wrong with that.

use super::app::{App, Runs};
use super::check::at_app;
use super::command::{Mode, Placeholder};
use super::flow::{By, Flow, Link, ReadFlow};
use super::gather::Gather;
use super::report::Report;
use handover_core::AppName;
use handover_records::{Compression, FileKind};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// What becomes of a record that is handed to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enters {
    /// It goes to the program, which runs for each; or to the service app, which is asked for each.
    Program,
    /// It goes to the program, which goes on running.
    Stream,
    /// It is gathered with others into a file.
    Gathered(Gather),
    /// Nobody works on it.
    Waits,
}

/// How deliveries enter each app.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    enters: HashMap<AppName, Enters>,
    links: HashMap<AppName, Vec<Link>>,
    /// Apps that work on records, if only on such as somebody pushes to them.
    workers: HashSet<AppName>,
    /// Apps that are sure to work on records.
    fed: HashSet<AppName>,
}

impl Doors {
    /// The doors of these apps in these flows.
    pub fn new<'a>(apps: impl IntoIterator<Item = &'a Arc<App>>, flows: &[Flow]) -> Self {
        let apps: Vec<&App> = apps.into_iter().map(AsRef::as_ref).collect();
        let links: Vec<&Link> = flows.iter().flat_map(|flow| &flow.links).collect();
        Self::of(&apps, &links)
    }

    fn of(apps: &[&App], links: &[&Link]) -> Self {
        let workers = with_services(apps, links, |app| works_on_records(app, links));
        let fed = with_services(apps, links, |app| is_sure_of_records(app, links));
        let enters = |app: &App| match &app.runs {
            Runs::Service(_) if links.iter().any(|link| link.to == app.name) => Enters::Program,
            Runs::Program(program) if workers.contains(&app.name) => match program.mode {
                Mode::Stream => Enters::Stream,
                Mode::Once => Enters::Program,
            },
            _ => {
                let mut from = links.iter().filter(|link| {
                    link.to == app.name && link.by == By::File && workers.contains(&link.from)
                });
                match from.next() {
                    Some(first) => {
                        let said = std::iter::once(first).chain(from).find_map(|link| link.gather);
                        Enters::Gathered(said.unwrap_or_default())
                    }
                    None => Enters::Waits,
                }
            }
        };
        let enters = apps.iter().map(|app| (app.name.clone(), enters(app))).collect();
        let mut doors = Self { enters, links: HashMap::new(), workers, fed };
        for link in links {
            doors.links.entry(link.to.clone()).or_default().push((*link).clone());
        }
        doors
    }

    /// What becomes of a record that is handed to this app.
    pub fn enters(&self, app: &AppName) -> Enters {
        self.enters.get(app).copied().unwrap_or(Enters::Waits)
    }

    /// The schema by which the cells of a table that `from` hands to `to` are cast, where one is named.
    pub fn cast(&self, from: &str, to: &AppName) -> Option<&Path> {
        let links = self.links.get(to).map_or(&[][..], Vec::as_slice);
        let links = links.iter().filter(|link| link.by == By::Database);
        let mut own = links.clone().filter(|link| link.from.as_str() == from).peekable();
        match own.peek() {
            Some(_) => own.find_map(|link| link.cast.as_deref()),
            // What somebody puts there by hand is cast as the links say, if they all say the same.
            None => {
                let mut said = links.map(|link| link.cast.as_deref());
                let first = said.next()?;
                first.filter(|_| said.all(|other| other == first))
            }
        }
    }

    /// Whether a file that `from` hands to `to` is split into records.
    pub fn splits(&self, from: &str, to: &AppName) -> bool {
        match self.enters(to) {
            Enters::Stream => true,
            Enters::Gathered(_) | Enters::Waits => false,
            Enters::Program => {
                let links = self.links.get(to).map_or(&[][..], Vec::as_slice);
                let own: Vec<&Link> = links.iter().filter(|link| link.from.as_str() == from).collect();
                // What somebody puts there by hand goes as the links do, if they all go one way.
                let of = if own.is_empty() { links.iter().collect() } else { own };
                !of.is_empty() && of.iter().all(|link| link.by == By::Database)
            }
        }
    }
}

/// The apps of which this holds, and the service apps that such hand to: what a service makes of a record is records.
fn with_services(apps: &[&App], links: &[&Link], holds: impl Fn(&App) -> bool) -> HashSet<AppName> {
    let mut all: HashSet<AppName> =
        apps.iter().filter(|app| holds(app)).map(|app| app.name.clone()).collect();
    loop {
        let more = apps.iter().filter(|app| app.is_service() && !all.contains(&app.name));
        let more: Vec<AppName> = more
            .filter(|app| links.iter().any(|link| link.to == app.name && all.contains(&link.from)))
            .map(|app| app.name.clone())
            .collect();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Whether an app works on records for sure, and not only on such as somebody pushes to it.
fn is_sure_of_records(app: &App, links: &[&Link]) -> bool {
    let is_stream = app.program().is_some_and(|program| program.mode == Mode::Stream && !app.is_source());
    is_stream || links.iter().any(|link| link.to == app.name && link.by == By::Database)
}

/// Whether an app's program gets records.
fn works_on_records(app: &App, links: &[&Link]) -> bool {
    let Runs::Program(program) = &app.runs else { return false };
    if app.is_source() {
        return false;
    }
    let mut to = links.iter().filter(|link| link.to == app.name).peekable();
    program.mode == Mode::Stream || to.peek().is_none() || to.any(|link| link.by == By::Database)
}

/// What cannot be: built-in apps behind a link by database, an app that would get records by both doors, and such.
pub(super) fn check(report: &mut Report<'_>, apps: &[App], flows: &[ReadFlow]) {
    streams(report, apps);
    let all: Vec<&App> = apps.iter().collect();
    let links: Vec<&Link> = flows.iter().flat_map(|read| &read.flow.links).collect();
    let doors = Doors::of(&all, &links);
    let mut gathers: HashMap<&AppName, Gather> = HashMap::new();
    let mut flows_of_records: HashMap<(&AppName, &AppName), &str> = HashMap::new();
    for read in flows {
        for (link, place) in read.flow.links.iter().zip(&read.places) {
            let place: Vec<&str> = place.iter().map(String::as_str).collect();
            let Some(to) = apps.iter().find(|app| app.name == link.to) else { continue };
            match link.by {
                By::Api => by_api(report, to, link, &place),
                _ if to.is_service() => {
                    report
                        .value(
                            &[&place[..], &["by"]].concat(),
                            format!("`{}` is a service app, which is reached by HTTP alone", to.name),
                        )
                        .help("write `by: api`, or leave `by` out");
                }
                By::Database => by_database(report, to, link, &place),
                By::File => by_file(report, apps, &doors, to, link, &place),
            }
            let of_records = link.by == By::Database || is_fed_records(&doors, &link.from);
            let first = flows_of_records.entry((&link.from, &link.to)).or_insert(&read.flow.name);
            if of_records && *first != read.flow.name {
                let message = format!(
                    "`{}` hands records to `{}` in the flow `{first}` too, and a record belongs to one flow",
                    link.from, link.to
                );
                at_app(report, &place, "to", link.to.as_str(), 0, message)
                    .help("write the link in one flow, and let the other begin at the app behind it");
            }
            let Some(gather) = link.gather else { continue };
            if *gathers.entry(&link.to).or_insert(gather) != gather {
                report
                    .key(
                        &[&place[..], &["gather"]].concat(),
                        format!("another link to `{}` gathers otherwise", link.to),
                    )
                    .help("write the same `gather` at each: what waits for an app is gathered together");
            }
        }
    }
}

/// What a stream program cannot have.
fn streams(report: &mut Report<'_>, apps: &[App]) {
    for app in apps {
        let Runs::Program(program) = &app.runs else { continue };
        if program.mode != Mode::Stream {
            continue;
        }
        let name = app.name.as_str();
        let of_a_file = Placeholder::ALL.into_iter().filter(|one| *one != Placeholder::Config);
        for one in of_a_file.filter(|one| program.uses(*one)) {
            let word = one.word();
            report
                .word(&["apps", name, "run"], word, 0, format!("a stream program has no `{{{word}}}`"))
                .help("it gets its records on stdin, one JSON object a line; `mode: once` runs for each");
        }
        if app.schedule.is_some() {
            report
                .key(&["apps", name, "mode"], "a program with a schedule does not go on running")
                .help("remove `mode: stream`, or the schedule");
        }
    }
}

/// A link by api posts to a service app.
fn by_api(report: &mut Report<'_>, to: &App, link: &Link, place: &[&str]) {
    if !to.is_service() {
        report
            .value(
                &[place, &["by"]].concat(),
                format!("`{}` is no service app (`url:`), so nothing can be posted to it", to.name),
            )
            .help(format!("write `by: file` or `by: database`; or give `{}` a `url:`", to.name));
        return;
    }
    for (key, _) in
        [("gather", link.gather.is_some()), ("cast", link.cast.is_some())].iter().filter(|(_, there)| *there)
    {
        report
            .key(
                &[place, &[key]].concat(),
                format!("`{key}` is not for a link by api: what is handed over is posted as it is"),
            )
            .help("remove it");
    }
}

fn by_database(report: &mut Report<'_>, to: &App, link: &Link, place: &[&str]) {
    if link.gather.is_some() {
        report
            .key(
                &[place, &["gather"]].concat(),
                "`gather` is for a link by file: by database nothing is gathered",
            )
            .help("remove it");
    }
    let at = [place, &["by"]].concat();
    match &to.runs {
        Runs::BuiltIn(_) if !to.is_source() => {
            report.value(&at, format!("`{}` is a built-in app, which works on files", to.name)).help(
                "write `by: file`: what comes from an app that works on records is gathered into files",
            );
        }
        _ => {}
    }
}

fn by_file(report: &mut Report<'_>, apps: &[App], doors: &Doors, to: &App, link: &Link, place: &[&str]) {
    let from_records = doors.workers.contains(&link.from);
    if link.cast.is_some() {
        report
            .key(
                &[place, &["cast"]].concat(),
                "`cast` is for a link by database: by file nothing is split into records",
            )
            .help("write `by: database`, or cast by a data-transformer");
    }
    if link.gather.is_some() && !from_records {
        report
            .key(
                &[place, &["gather"]].concat(),
                format!("`gather` is for records, and `{}` makes files", link.from),
            )
            .help("remove it");
    }
    match doors.enters(&to.name) {
        Enters::Stream => {
            at_app(
                report,
                place,
                "to",
                to.name.as_str(),
                0,
                format!("`{}` is a stream program, which gets records", to.name),
            )
            .help(format!("write the link as {{ from: {}, to: {}, by: database }}", link.from, to.name));
        }
        Enters::Program if by_database_to(doors, &to.name) && is_fed_records(doors, &link.from) => {
            let message = format!(
                "`{}` gets records by database, so what `{}` makes of records cannot come by file",
                to.name, link.from
            );
            at_app(report, place, "to", to.name.as_str(), 0, message).help("write `by: database` here too");
        }
        Enters::Gathered(_) if from_records && is_fed_records(doors, &link.from) => {
            let maker = apps.iter().find(|app| app.name == link.from);
            let Some((maker, ext)) = maker.and_then(|app| Some((app, app.ext.as_deref()?))) else { return };
            let fits = FileKind::of_ext(ext).is_some_and(|kind| {
                kind.compression == Compression::None && kind.format != handover_records::Format::Json
            });
            if !fits {
                report
                    .value(
                        &["apps", maker.name.as_str(), "ext"],
                        format!("records cannot be gathered into a file of `.{ext}`"),
                    )
                    .help(
                        "use ndjson, jsonl, csv or tsv; a file-exporter makes others of them, and compresses",
                    );
            }
        }
        _ => {}
    }
}

/// Whether it is sure that an app works on records, and not only on such as somebody pushes to it.
fn is_fed_records(doors: &Doors, app: &AppName) -> bool {
    doors.fed.contains(app)
}

fn by_database_to(doors: &Doors, app: &AppName) -> bool {
    doors.links.get(app).is_some_and(|links| links.iter().any(|link| link.by == By::Database))
}
