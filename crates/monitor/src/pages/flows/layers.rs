//! Where the steps of a flow stand: in layers from left to right, each app behind all that hand over to it. A link that goes
//! past a layer has a place in it, so that no line runs through a step.

use handover_core::AppName;
use handover_runtime::config::{Flow, Link};
use std::collections::HashMap;

/// A place in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'f> {
    /// An app.
    App(&'f AppName),
    /// A link on its way past: its number in the flow.
    Past(usize),
}

/// A part of a link: between two layers, from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The link's number in the flow.
    pub(super) link: usize,
    /// The place in the layer before.
    pub(super) from: usize,
    /// The place in this layer.
    pub(super) to: usize,
}

/// A layer, and what leads to it from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer<'f> {
    pub(super) places: Vec<Place<'f>>,
    pub(super) from_before: Vec<Stretch>,
}

/// The layers of a flow.
pub(super) fn layers(flow: &Flow) -> Vec<Layer<'_>> {
    let depths = depths(flow);
    let depth = |app: &AppName| depths.get(app).copied().unwrap_or(0);
    let count = flow.apps().iter().map(depth).max().map_or(0, |deepest| deepest + 1);
    let mut layers: Vec<Layer<'_>> = Vec::with_capacity(count);
    for here in 0..count {
        let mut places: Vec<Place<'_>> =
            flow.apps().iter().filter(|app| depth(app) == here).map(Place::App).collect();
        let passes = |link: &Link| depth(&link.from) < here && here < depth(&link.to);
        let past = flow.links.iter().enumerate().filter(|(_, link)| passes(link));
        places.extend(past.map(|(nth, _)| Place::Past(nth)));
        let mut from_before = Vec::new();
        if let Some(before) = layers.last() {
            let middle = |place: &Place<'_>| middle_of_sources(flow, &before.places, place);
            places.sort_by_key(middle);
            from_before = stretches(flow, &before.places, &places);
        }
        layers.push(Layer { places, from_before });
    }
    layers
}

/// How many links lie before each app, on the longest way.
fn depths(flow: &Flow) -> HashMap<&AppName, usize> {
    let mut depths: HashMap<&AppName, usize> = flow.apps().iter().map(|app| (app, 0)).collect();
    // A checked flow has no circle: after so many rounds nothing changes.
    for _ in 0..flow.apps().len() {
        for link in &flow.links {
            let behind = depths.get(&link.from).copied().unwrap_or(0) + 1;
            if let Some(depth) = depths.get_mut(&link.to).filter(|depth| **depth < behind) {
                *depth = behind;
            }
        }
    }
    depths
}

/// Where a link stands in a layer, at its beginning or on its way.
fn source(link: &Link, nth: usize, before: &[Place<'_>]) -> Option<usize> {
    before.iter().position(|place| match place {
        Place::App(app) => **app == link.from,
        Place::Past(passing) => *passing == nth,
    })
}

/// Whether a link leads to a place.
fn leads_to(link: &Link, nth: usize, place: &Place<'_>) -> bool {
    match place {
        Place::App(app) => link.to == **app,
        Place::Past(passing) => *passing == nth,
    }
}

fn stretches(flow: &Flow, before: &[Place<'_>], places: &[Place<'_>]) -> Vec<Stretch> {
    let mut found = Vec::new();
    for (to, place) in places.iter().enumerate() {
        for (nth, link) in flow.links.iter().enumerate().filter(|(nth, link)| leads_to(link, *nth, place)) {
            found.extend(source(link, nth, before).map(|from| Stretch { link: nth, from, to }));
        }
    }
    found
}

/// The middle of where what leads to a place comes from, so that lines cross seldom; in thousandths.
fn middle_of_sources(flow: &Flow, before: &[Place<'_>], place: &Place<'_>) -> usize {
    let links = flow.links.iter().enumerate().filter(|(nth, link)| leads_to(link, *nth, place));
    let sources: Vec<usize> = links.filter_map(|(nth, link)| source(link, nth, before)).collect();
    (sources.iter().sum::<usize>() * 1_000).checked_div(sources.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_runtime::config::By;

    fn flow(links: &[(&str, &str)]) -> Flow {
        let app = |name: &str| AppName::new(name).unwrap();
        let link = |(from, to): &(&str, &str)| Link {
            from: app(from),
            to: app(to),
            by: By::File,
            label: None,
            gather: None,
            cast: None,
        };
        Flow::new("f", None, links.iter().map(link).collect(), Vec::new())
    }

    fn drawn(links: &[(&str, &str)]) -> String {
        let flow = flow(links);
        let place = |place: &Place<'_>| match place {
            Place::App(app) => app.to_string(),
            Place::Past(nth) => format!("|{nth}"),
        };
        let layer = |layer: &Layer<'_>| {
            let leads: Vec<String> =
                layer.from_before.iter().map(|one| format!("{}-{}", one.from, one.to)).collect();
            let places: Vec<String> = layer.places.iter().map(place).collect();
            format!("{}({})", leads.join(","), places.join(" "))
        };
        layers(&flow).iter().map(layer).collect()
    }

    #[test]
    fn each_app_stands_behind_all_that_hand_over_to_it() {
        assert_eq!(drawn(&[("a", "b"), ("b", "c")]), "(a)0-0(b)0-0(c)");
        assert_eq!(drawn(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), "(a)0-0,0-1(b c)0-0,1-0(d)");
    }

    #[test]
    fn a_link_past_a_layer_has_a_place_in_it() {
        assert_eq!(drawn(&[("a", "b"), ("b", "c"), ("a", "c")]), "(a)0-0,0-1(b |2)0-0,1-0(c)");
    }

    #[test]
    fn lines_cross_seldom() {
        assert_eq!(drawn(&[("a", "y"), ("b", "x")]), "(a b)0-0,1-1(y x)");
    }
}
