//! `advise`: what it answers, and how it is asked.

use super::Place;

#[test]
fn it_recommends_says_why_and_prints_lines_that_check_takes() {
    let place = Place::empty();
    let out = place.ok(&["advise", "--volume", "1M/day", "--latency", "1s", "--query", "yes"]);
    for says in [
        "A link by database.",
        "by database: 9 of 9",
        "57,400 records claimed and completed a second on PostgreSQL: less than a tenth",
        "Taken as of no weight: replay, external, setup.",
        "In handover.yaml, by database:",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
    let lines: Vec<&str> =
        out.lines().skip_while(|line| *line != "    apps:").map(|line| &line[4..]).collect();
    place.write("handover.yaml", &lines.join("\n"));
    place.write("consume", "#!/bin/sh\ncat\n");
    std::fs::create_dir(place.path().join("incoming")).unwrap();
    let check = place.run(&["check"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
}

#[test]
fn it_says_where_several_are_equal_and_where_none_will_do() {
    let place = Place::empty();
    let out = place.ok(&["advise", "--volume", "10/s", "--latency", "1h"]);
    assert!(out.starts_with("These come out equal: by file, by database, by api."), "{out}");
    assert!(out.contains("What would decide:\n  replay: yes would choose file\n"), "{out}");
    let none = place.ok(&["advise", "--volume", "200000/s", "--latency", "5ms"]);
    assert!(none.starts_with("No pattern meets all of that."), "{none}");
    assert!(none.contains("What would have to give:") && !none.contains("In handover.yaml"), "{none}");
    let json = place.json(&["advise", "--external", "http"]);
    assert_eq!(json["advice"]["best"], serde_json::json!(["api"]));
    assert_eq!(json["advice"]["doors"][0]["judgements"][0]["fit"], "good");
}

#[test]
fn what_is_no_answer_is_refused_and_nothing_is_guessed() {
    let place = Place::empty();
    let none = place.run(&["advise"]);
    assert!(none.code == 2 && none.err.contains("nothing is said of what the link needs"), "{}", none.err);
    for words in [
        ["--volume", "much"],
        ["--latency", "soon"],
        ["--replay", "perhaps"],
        ["--external", "post"],
        ["--setup", "x"],
    ] {
        assert_eq!(place.run(&[&["advise"], &words[..]].concat()).code, 2, "{words:?}");
    }
}
