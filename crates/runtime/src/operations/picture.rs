//! A flow as a line of arrows: `a -> b -> c`, `a -> [b, c] -> d`; where that does not say it, one line for each app
//! that hands over.

use crate::config::Flow;
use handover_core::AppName;

/// The lines of a flow's picture.
pub fn picture(flow: &Flow) -> Vec<String> {
    if flow.links.is_empty() {
        return flow.apps().iter().map(ToString::to_string).collect();
    }
    match groups(flow) {
        Some(groups) => vec![groups.iter().map(|group| words(group)).collect::<Vec<_>>().join(" -> ")],
        None => one_by_one(flow),
    }
}

fn words(group: &[&AppName]) -> String {
    let names: Vec<&str> = group.iter().map(|app| app.as_str()).collect();
    if let [one] = names[..] { one.to_owned() } else { format!("[{}]", names.join(", ")) }
}

fn targets<'f>(flow: &'f Flow, from: &AppName) -> Vec<&'f AppName> {
    flow.links.iter().filter(|link| link.from == *from).map(|link| &link.to).collect()
}

/// The apps in steps, where each app of a step hands over to every app of the next and to no other.
fn groups(flow: &Flow) -> Option<Vec<Vec<&AppName>>> {
    let mut groups = vec![flow.heads().collect::<Vec<_>>()];
    let mut links = 0;
    loop {
        let last = groups.last()?;
        let next = targets(flow, last.first()?);
        let same = |app: &&AppName| {
            let mut own = targets(flow, app);
            let mut wanted = next.clone();
            own.sort();
            wanted.sort();
            own == wanted
        };
        if !last.iter().all(same) {
            return None;
        }
        links += last.len() * next.len();
        if next.is_empty() {
            let apps: usize = groups.iter().map(Vec::len).sum();
            return (links == flow.links.len() && apps == flow.apps().len()).then_some(groups);
        }
        // In a circle there is no end; a checked flow has none.
        if groups.len() > flow.apps().len() {
            return None;
        }
        groups.push(next);
    }
}

fn one_by_one(flow: &Flow) -> Vec<String> {
    let from = flow.apps().iter().filter(|app| flow.links.iter().any(|link| link.from == **app));
    from.map(|app| format!("{app} -> {}", words(&targets(flow, app)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(links: &[(&str, &str)]) -> Vec<String> {
        picture(&Flow::by_file("f", links))
    }

    #[test]
    fn a_flow_is_one_line_where_one_line_says_it() {
        assert_eq!(drawn(&[("a", "b"), ("b", "c")]), ["a -> b -> c"]);
        assert_eq!(drawn(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), ["a -> [b, c] -> d"]);
        assert_eq!(drawn(&[("a", "c"), ("b", "c")]), ["[a, b] -> c"]);
        assert_eq!(drawn(&[("a", "b"), ("a", "c"), ("b", "d")]), ["a -> [b, c]", "b -> d"]);
        assert_eq!(drawn(&[("a", "b"), ("b", "c"), ("a", "c")]), ["a -> [b, c]", "b -> c"]);
        let alone = Flow::new("f", None, vec![], vec![AppName::new("a").unwrap()]);
        assert_eq!(picture(&alone), ["a"]);
    }
}
