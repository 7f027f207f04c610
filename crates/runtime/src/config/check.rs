//! What the parts of a configuration say together: flows against apps, flows against one another, apps against
//! apps. All problems are collected.
//!
//! Errors are what can never work: an app that is not there, a circle, an input where none can go. Warnings are
//! what is probably not meant. Notices tell what a person may have forgotten.

use super::app::{App, Runs};
use super::builtin::BuiltIn;
use super::flow::ReadFlow;
use super::report::{Report, did_you_mean};
use handover_apps::importer::ImportSource;
use handover_core::AppName;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

/// Everything at once. `declared` are all apps of the file, also those that could not be read.
pub(crate) fn flows(report: &mut Report<'_>, apps: &[App], declared: &[String], flows: &[ReadFlow]) {
    for read in flows {
        unknown_apps(report, declared, read);
        links(report, read);
        sources(report, apps, read);
    }
    if !report.has_errors() {
        for read in flows {
            heads(report, apps, flows, read);
        }
    }
    circles(report, flows);
    super::doors::check(report, apps, flows);
    unused(report, apps, flows);
}

/// The apps of a flow with the place of the first mention of each.
fn mentions(read: &ReadFlow) -> Vec<(&AppName, Vec<&str>, &'static str)> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (link, place) in read.flow.links.iter().zip(&read.places) {
        for (app, end) in [(&link.from, "from"), (&link.to, "to")] {
            if seen.insert(app) {
                found.push((app, place.iter().map(String::as_str).collect(), end));
            }
        }
    }
    for (app, place) in &read.alone {
        if seen.insert(app) {
            found.push((app, place.iter().map(String::as_str).collect(), "from"));
        }
    }
    found
}

/// An error or more at an app's name in a flow, whichever way the flow is written.
pub(super) fn at_app<'r>(
    report: &'r mut Report<'_>,
    place: &[&str],
    end: &str,
    app: &str,
    nth: usize,
    message: String,
) -> super::report::Entry<'r> {
    let full = [place, &[end]].concat();
    if report.document.node(&full).is_some() {
        return report.value(&full, message);
    }
    report.word(place, app, nth, message)
}

fn unknown_apps(report: &mut Report<'_>, declared: &[String], read: &ReadFlow) {
    for (app, place, end) in mentions(read) {
        if !declared.iter().any(|name| name == app.as_str()) {
            let hint = did_you_mean(app.as_str(), declared.iter().map(String::as_str))
                .unwrap_or_else(|| "declare it under `apps:`".to_owned());
            at_app(report, &place, end, app.as_str(), 0, format!("there is no app `{app}`")).help(hint);
        }
    }
}

fn links(report: &mut Report<'_>, read: &ReadFlow) {
    let mut seen = HashSet::new();
    for (link, place) in read.flow.links.iter().zip(&read.places) {
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        if link.from == link.to {
            at_app(report, &place, "to", link.to.as_str(), 1, format!("`{}` is linked to itself", link.to))
                .help("an app gets what another app made");
        } else if !seen.insert((&link.from, &link.to)) {
            let message = format!("the link `{} -> {}` stands in this flow twice", link.from, link.to);
            at_app(report, &place, "to", link.to.as_str(), 1, message)
                .help("remove one: an app gets a file once, however often the link is written");
        }
    }
}

/// A source has no input: nothing leads to it.
fn sources(report: &mut Report<'_>, apps: &[App], read: &ReadFlow) {
    let mut said = HashSet::new();
    for (link, place) in read.flow.links.iter().zip(&read.places) {
        let Some(app) = apps.iter().find(|app| app.name == link.to && app.is_source()) else { continue };
        if !said.insert(&link.to) {
            continue;
        }
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let (message, hint) = match app.schedule {
            Some(_) => (
                format!("`{}` runs by its schedule and has no input, so no link leads to it", link.to),
                "begin the flow with it, or remove its `schedule`",
            ),
            None => (
                format!("`{}` is a file-importer: it begins a flow, so no link leads to it", link.to),
                "begin the flow with it",
            ),
        };
        at_app(report, &place, "to", link.to.as_str(), 0, message).help(hint);
    }
}

/// A flow that nothing feeds is worth a word.
fn heads(report: &mut Report<'_>, apps: &[App], flows: &[ReadFlow], read: &ReadFlow) {
    let places = mentions(read);
    for head in read.flow.heads() {
        let is_source = apps.iter().any(|app| app.name == *head && app.is_source());
        let tapped = flows.iter().any(|other| {
            other.flow.name != read.flow.name && other.flow.links.iter().any(|link| link.to == *head)
        });
        let Some((_, place, end)) = places.iter().find(|(app, ..)| *app == head) else { continue };
        if !is_source && !tapped {
            let message = format!("nothing feeds `{head}`, where the flow `{}` begins", read.flow.name);
            at_app(report, place, end, head.as_str(), 0, message)
                .help(format!("fine where files come by `handover put --app {head}` or with a manifest; else begin with a file-importer"))
                .notice();
        }
    }
}

/// An app in a flow: where a delivery can be.
type Station<'f> = (&'f AppName, &'f str);

/// Deliveries that would go round for ever: along the links of a flow, and from its apps into the flows that begin
/// there.
fn circles(report: &mut Report<'_>, flows: &[ReadFlow]) {
    let mut next: HashMap<Station<'_>, Vec<Station<'_>>> = HashMap::new();
    let mut order = Vec::new();
    for read in flows {
        let name = read.flow.name.as_str();
        order.extend(read.flow.apps().iter().map(|app| (app, name)));
        for link in &read.flow.links {
            let onward = next.entry((&link.from, name)).or_default();
            if link.from != link.to {
                onward.push((&link.to, name));
            }
        }
        for head in read.flow.heads() {
            for other in flows.iter().filter(|other| other.flow.name != read.flow.name) {
                if other.flow.apps().contains(head) {
                    next.entry((head, other.flow.name.as_str())).or_default().push((head, name));
                }
            }
        }
    }
    let mut done = HashSet::new();
    let mut told = BTreeSet::new();
    for start in order {
        if let Some(circle) = circle_from(start, &next, &mut done) {
            let apps: BTreeSet<&AppName> = circle.iter().map(|station| station.0).collect();
            if told.insert(apps) {
                tell_circle(report, flows, &circle);
            }
        }
    }
}

/// The first circle that can be reached from `start`, walked without recursion.
fn circle_from<'f>(
    start: Station<'f>,
    next: &HashMap<Station<'f>, Vec<Station<'f>>>,
    done: &mut HashSet<Station<'f>>,
) -> Option<Vec<Station<'f>>> {
    let mut way = vec![(start, 0)];
    if done.contains(&start) {
        return None;
    }
    while let Some((station, tried)) = way.last_mut() {
        let onward = next.get(station).and_then(|stations| stations.get(*tried)).copied();
        *tried += 1;
        let Some(onward) = onward else {
            done.insert(*station);
            way.pop();
            continue;
        };
        if let Some(from) = way.iter().position(|(station, _)| *station == onward) {
            done.extend(way.iter().map(|(station, _)| *station));
            let mut circle: Vec<Station<'f>> = way[from..].iter().map(|(station, _)| *station).collect();
            circle.push(onward);
            return Some(circle);
        }
        if !done.contains(&onward) {
            way.push((onward, 0));
        }
    }
    None
}

fn tell_circle(report: &mut Report<'_>, flows: &[ReadFlow], circle: &[Station<'_>]) {
    let mut apps: Vec<&str> = circle.iter().map(|(app, _)| app.as_str()).collect();
    apps.dedup();
    let names: BTreeSet<&str> = circle.iter().map(|(_, flow)| *flow).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let way = apps.join(" -> ");
    let message = match names[..] {
        [name] => format!("the flow `{name}` goes in a circle: {way}"),
        _ => format!("the flows {} together go in a circle: {way}", super::report::words_joined(&names)),
    };
    // The link that closes the circle is the place to look at.
    let closing = circle.windows(2).rev().find(|pair| pair[0].0 != pair[1].0);
    let Some([from, to]) = closing else { return };
    let Some(read) = flows.iter().find(|read| read.flow.name == from.1) else { return };
    let link = read.flow.links.iter().position(|link| link.from == *from.0 && link.to == *to.0);
    let place = link.and_then(|index| read.places.get(index)).cloned().unwrap_or_default();
    let place: Vec<&str> = place.iter().map(String::as_str).collect();
    // In arrows, the second mention of the app closes the circle, where there is one.
    let mentioned =
        read.flow.links.iter().take(link.unwrap_or(0)).any(|link| link.from == *to.0 || link.to == *to.0);
    at_app(report, &place, "to", to.0.as_str(), usize::from(mentioned), message)
        .help("remove one of its links: a file would go round for ever");
}

/// Built-in apps that are declared and stand in no flow.
fn unused(report: &mut Report<'_>, apps: &[App], flows: &[ReadFlow]) {
    // A program in no flow is run by `work`: `check` says how.
    // With an API any app but an importer gets jobs.
    let has_api = report.document.node(&["api"]).is_some();
    let works_alone = |app: &App| match &app.runs {
        Runs::BuiltIn(BuiltIn::Importer(_)) => false,
        Runs::BuiltIn(_) => has_api,
        Runs::Program(_) | Runs::Service(_) => true,
    };
    for app in apps.iter().filter(|app| !works_alone(app)) {
        if !flows.iter().any(|read| read.flow.apps().contains(&app.name)) {
            let message = format!("the app `{}` stands in no flow", app.name);
            report
                .key(&["apps", app.name.as_str()], message)
                .help("name it in a flow, or remove it")
                .notice();
        }
    }
}

/// Two importers that would both take a file, an exporter that writes into the data directory, and such.
pub(crate) fn apps(report: &mut Report<'_>, apps: &[App], base: &Path, data: &Path) {
    let mut watched: Vec<(&App, ImportSource)> = Vec::new();
    for app in apps {
        let Runs::BuiltIn(BuiltIn::Importer(config)) = &app.runs else { continue };
        let here = config.sources(base).unwrap_or_default();
        for (earlier, other) in &watched {
            if here.iter().any(|one| overlap(one, other)) {
                let message =
                    format!("`{}` and `{}` may take the same files from one folder", earlier.name, app.name);
                report
                    .key(&["apps", app.name.as_str(), "with"], message)
                    .help("both would import them; make the patterns differ, or let two flows begin at one importer")
                    .warning();
                break;
            }
        }
        watched.extend(here.into_iter().map(|source| (app, source)));
    }
    let data = plain(data);
    for app in apps {
        let Runs::BuiltIn(builtin) = &app.runs else { continue };
        for (key, folder) in builtin.folders() {
            if plain(&base.join(&folder)).starts_with(&data) {
                let at = ["apps", app.name.as_str()];
                let path: Vec<&str> = at.into_iter().chain(key.iter().map(String::as_str)).collect();
                report
                    .value(&path, format!("`{}` is in the data directory", folder.display()))
                    .help("the data directory is Handover's own: choose a folder outside it");
            }
        }
    }
}

/// A path without `.` and, as far as its text says, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Whether two sources can take one file; tried with a name that each of them matches.
fn overlap(a: &ImportSource, b: &ImportSource) -> bool {
    let takes = |one: &ImportSource, other: &ImportSource| {
        let sample: String = other
            .pattern
            .replace("**/", "")
            .chars()
            .map(|c| if "*?".contains(c) { 'x' } else { c })
            .collect();
        one.glob().is_ok_and(|glob| glob.compile_matcher().is_match(&sample))
    };
    plain(&a.from) == plain(&b.from) && (a.pattern == b.pattern || takes(a, b) || takes(b, a))
}
