use super::*;
use crate::config::Config;
use std::path::Path;

fn needs(words: &str) -> Needs {
    let mut needs = Needs::default();
    for pair in words.split_whitespace() {
        let (need, text) = pair.split_once('=').unwrap();
        let need = Need::ALL.into_iter().find(|one| one.word() == need).unwrap();
        needs.answer(need, text).unwrap();
    }
    needs
}

fn best(words: &str) -> String {
    advise(&needs(words)).best.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_corner_has_its_door() {
    let table = [
        // Much, and no hurry.
        ("volume=20M/day latency=1h replay=yes", "file"),
        ("volume=100000/s", "file"),
        ("volume=10GB/day latency=10min setup=nothing", "file"),
        ("external=files replay=yes", "file"),
        ("setup=nothing", "file"),
        // Single records that somebody asks for.
        ("volume=1M/day latency=1s query=yes", "database"),
        ("latency=50ms query=yes replay=yes", "database"),
        ("external=sql", "database"),
        ("volume=5000/s latency=50ms", "database"),
        // Others, and at once.
        ("volume=10/s latency=10ms external=http", "api"),
        ("external=http query=yes latency=5ms", "api"),
        ("latency=5ms", "api"),
        // Nothing that decides.
        ("volume=10/s latency=1h", "file database api"),
        ("external=no setup=any replay=no query=no", "file database api"),
        ("", "file database api"),
        ("volume=10/s latency=10s query=no setup=any", "file database api"),
        // Nothing that can do it.
        ("volume=200000/s latency=5ms", ""),
    ];
    for (words, door) in table {
        assert_eq!(best(words), door, "{words}: {:?}", advise(&needs(words)).doors);
    }
}

#[test]
fn equal_doors_are_said_with_what_would_decide() {
    let advice = advise(&needs("volume=10/s latency=1h"));
    for says in [
        "replay: yes would choose file",
        "query: yes would choose database",
        "external: http would choose api",
    ] {
        assert!(advice.decide.iter().any(|one| one == says), "{says}: {:?}", advice.decide);
    }
    assert_eq!((advice.best.len(), advice.lines.len()), (3, 3));
    // What would decide does so.
    assert_eq!(best("volume=10/s latency=1h replay=yes"), "file");
    assert_eq!(best("volume=10/s latency=1h query=yes"), "database");
    assert_eq!(best("volume=10/s latency=1h external=http"), "api");
}

#[test]
fn where_no_door_will_do_it_says_what_would_have_to_give() {
    let advice = advise(&needs("volume=200000/s latency=5ms"));
    assert!(advice.best.is_empty() && advice.lines.is_empty());
    let all = advice.decide.join("\n");
    for says in ["file would do with less of: latency", "database would do with less of: volume"] {
        assert!(all.contains(says), "{all}");
    }
}

#[test]
fn the_lines_are_a_configuration_with_that_link() {
    for words in
        ["", "volume=20000/s external=sql", "latency=50ms", "external=http", "external=sql query=yes"]
    {
        let advice = advise(&needs(words));
        for (by, lines) in advice.best.iter().zip(&advice.lines) {
            let config = Config::from_text(lines, Path::new("handover.yaml"), &|_| None)
                .unwrap_or_else(|e| panic!("{lines}\n{}", e.render()));
            assert_eq!(config.flows[0].links[0].by, *by, "{lines}");
        }
    }
    assert!(advise(&needs("volume=20000/s external=sql")).lines[0].contains("claim: lanes"));
}

#[test]
fn answers_are_read_or_refused() {
    for (text, per_second) in [
        ("86400", 1.0),
        ("50/s", 50.0),
        ("3.6k/h", 1.0),
        ("1M/day", 11.574),
        ("17.28MB/day", 1.0),
        ("1,000/min", 16.667),
    ] {
        let volume: Volume = text.parse().unwrap();
        assert!((volume.per_second - per_second).abs() < 0.001, "{text}: {volume:?}");
    }
    for text in ["", "many", "-5", "5/week", "nan", "1e999/s", "5/", "B"] {
        assert!(text.parse::<Volume>().is_err(), "{text}");
    }
    let mut asked = Needs::default();
    for need in Need::ALL {
        assert!(asked.answer(need, "perhaps").is_err(), "{need:?}");
        asked.answer(need, " ? ").unwrap();
        assert!(!asked.says(need));
    }
    for (need, text) in Need::ALL.into_iter().zip(["1/s", "1s", "no", "no", "no", "any"]) {
        asked.answer(need, text).unwrap();
        assert!(asked.says(need));
    }
}

#[test]
fn the_guide_shows_the_rules_as_they_are() {
    let guide = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/concepts/which-pattern.md"));
    assert!(guide.contains(&table()), "docs/concepts/which-pattern.md should hold:\n{}", table());
}
