//! Where an app's output goes.
//!
//! A delivery carries the list of flows that it belongs to. What an app makes of it goes along the app's links in
//! those flows, and in the flows that begin at this app: they tap its output. Hops to one app are one hop with all
//! its flows, so an app gets a file once, however many flows lead there.

use super::flow::{By, Flow};
use handover_core::AppName;
use std::collections::HashMap;

/// One step on: to an app, with the flows that lead there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The app that gets it.
    pub to: AppName,
    /// The flows whose link leads there, in the order of the configuration.
    pub flows: Vec<String>,
    /// How it is handed over.
    pub by: By,
}

/// The links of all flows, by the app that they start from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    links: HashMap<AppName, Vec<Step>>,
    heads: HashMap<AppName, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    flow: String,
    to: AppName,
    by: By,
}

impl Routes {
    /// The routes of these flows.
    pub fn new(flows: &[Flow]) -> Self {
        let mut routes = Self::default();
        for flow in flows {
            for link in &flow.links {
                let step = Step { flow: flow.name.clone(), to: link.to.clone(), by: link.by };
                routes.links.entry(link.from.clone()).or_default().push(step);
            }
            for head in flow.heads() {
                routes.heads.entry(head.clone()).or_default().push(flow.name.clone());
            }
        }
        routes
    }

    /// Where the output of `from` goes for a delivery of these flows; in the order of the configuration.
    pub fn next(&self, from: &AppName, flows: &[String]) -> Vec<Hop> {
        let tapped = self.entry_flows(from);
        let mut hops: Vec<Hop> = Vec::new();
        for step in self.links.get(from).into_iter().flatten() {
            if !flows.contains(&step.flow) && !tapped.contains(&step.flow) {
                continue;
            }
            match hops.iter_mut().find(|hop| hop.to == step.to && hop.by == step.by) {
                Some(hop) if hop.flows.contains(&step.flow) => {}
                Some(hop) => hop.flows.push(step.flow.clone()),
                None => {
                    hops.push(Hop { to: step.to.clone(), flows: vec![step.flow.clone()], by: step.by });
                }
            }
        }
        hops
    }

    /// The flows that begin at this app: what it imports, or prints by its schedule, belongs to them.
    pub fn entry_flows(&self, app: &AppName) -> &[String] {
        self.heads.get(app).map_or(&[], Vec::as_slice)
    }

    /// The flows that lead to this app: what is put to it by hand belongs to them, and to those that begin at it.
    pub fn flows_through(&self, app: &AppName) -> Vec<String> {
        let mut flows = self.entry_flows(app).to_vec();
        for step in self.links.values().flatten().filter(|step| step.to == *app) {
            if !flows.contains(&step.flow) {
                flows.push(step.flow.clone());
            }
        }
        flows.sort();
        flows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn app(name: &str) -> AppName {
        AppName::new(name).unwrap()
    }

    fn flow(name: &str, links: &[(&str, &str)]) -> Flow {
        Flow::by_file(name, links)
    }

    fn names(hops: &[Hop]) -> Vec<(String, String)> {
        hops.iter().map(|hop| (hop.to.to_string(), hop.flows.join(","))).collect()
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn a_diamond_yields_two_deliveries_at_its_end() {
        let routes = Routes::new(&[flow("d", &[("in", "a"), ("in", "b"), ("a", "out"), ("b", "out")])]);
        let flows = routes.entry_flows(&app("in")).to_vec();
        assert_eq!(names(&routes.next(&app("in"), &flows)), [pair("a", "d"), pair("b", "d")]);
        assert_eq!(names(&routes.next(&app("a"), &flows)), [pair("out", "d")]);
        assert_eq!(names(&routes.next(&app("b"), &flows)), [pair("out", "d")]);
        assert!(routes.next(&app("out"), &flows).is_empty());
    }

    #[test]
    fn two_flows_to_one_app_are_one_hop_and_part_after_it() {
        let routes = Routes::new(&[
            flow("x", &[("in", "check"), ("check", "left")]),
            flow("y", &[("in", "check"), ("check", "right")]),
        ]);
        let first = routes.next(&app("in"), routes.entry_flows(&app("in")));
        assert_eq!(names(&first), [pair("check", "x,y")]);
        assert_eq!(
            names(&routes.next(&app("check"), &first[0].flows)),
            [pair("left", "x"), pair("right", "y")]
        );
        assert_eq!(names(&routes.next(&app("check"), &["y".to_owned()])), [pair("right", "y")]);
    }

    #[test]
    fn a_flow_that_begins_at_another_flows_app_taps_it() {
        let routes = Routes::new(&[
            flow("main", &[("in", "a"), ("a", "out")]),
            flow("tap", &[("a", "score"), ("score", "out")]),
        ]);
        let hops = routes.next(&app("a"), &["main".to_owned()]);
        assert_eq!(names(&hops), [pair("out", "main"), pair("score", "tap")]);
        assert_eq!(names(&routes.next(&app("score"), &["tap".to_owned()])), [pair("out", "tap")]);
        assert_eq!(routes.flows_through(&app("a")), ["main", "tap"]);
    }

    /// All runs of all small layered flows: each app is reached once for each way that leads to it, flows never
    /// grow beyond those that have a link there, and every walk ends.
    #[test]
    fn every_way_through_a_layered_flow_is_walked_once() {
        for seed in 0..200u32 {
            let edge = |bit: u32| seed.wrapping_mul(2_654_435_761).rotate_left(bit * 5) & 3 != 0;
            let mut links = Vec::new();
            let layers = [vec!["in"], vec!["a", "b"], vec!["c", "d"], vec!["out"]];
            let mut bit = 0;
            for pair in layers.windows(2) {
                for from in &pair[0] {
                    for to in &pair[1] {
                        bit += 1;
                        if edge(bit) {
                            links.push((*from, *to));
                        }
                    }
                }
            }
            let routes = Routes::new(&[flow("f", &links)]);
            let mut ways: BTreeMap<&str, usize> = BTreeMap::from([("in", 1)]);
            for layer in &layers {
                for from in layer {
                    let count = ways.get(from).copied().unwrap_or(0);
                    for (_, to) in links.iter().filter(|(start, _)| start == from) {
                        *ways.entry(to).or_default() += count;
                    }
                }
            }
            let mut open = vec![app("in")];
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            while let Some(at) = open.pop() {
                *seen.entry(at.to_string()).or_default() += 1;
                let hops = routes.next(&at, &["f".to_owned()]);
                let distinct: BTreeSet<&AppName> = hops.iter().map(|hop| &hop.to).collect();
                assert_eq!(distinct.len(), hops.len());
                open.extend(hops.into_iter().map(|hop| hop.to));
            }
            for (name, count) in seen {
                assert_eq!(ways.get(name.as_str()), Some(&count), "seed {seed}, {name}");
            }
        }
    }
}
