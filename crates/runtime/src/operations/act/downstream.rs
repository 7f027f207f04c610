//! Which apps get what comes of an app's work.

use crate::config::Config;

/// The apps that an app's outputs go on to, nearest first: by the links of a delivery's flow, or of all where it has none.
pub(super) fn downstream<'c>(config: &'c Config, app: &str, flow: Option<&str>) -> Vec<&'c str> {
    let known = flow.and_then(|flow| config.flow(flow));
    let flows: Vec<_> = match known {
        Some(flow) => vec![flow],
        None => config.flows.iter().collect(),
    };
    let mut found: Vec<&str> = Vec::new();
    let mut from = vec![app.to_owned()];
    while let Some(app) = from.pop() {
        for link in flows.iter().flat_map(|flow| &flow.links) {
            let to = link.to.as_str();
            if link.from.as_str() == app && !found.contains(&to) {
                found.push(to);
                from.insert(0, to.to_owned());
            }
        }
    }
    found
}
