//! Tables that are bad as a whole, and reference files that are not there.

use crate::kit::{Case, GOOD, assert_says};

fn validating(more: &str) -> Case {
    let case = Case::declared(&format!("uses: validator, with: {{ schema: schema.json{more} }}, retries: 0"));
    case.project.write(
        "schema.json",
        r#"{ "fields": [ { "name": "id", "type": "integer", "constraints": { "required": true } }, { "name": "name", "type": "string" } ] }"#,
    );
    case.put_good();
    case
}

#[test]
fn a_wrong_header_quarantines_the_whole_file() {
    for (table, words) in [
        ("id,nam\n1,x\n", vec!["header", "name"]),
        ("1,x\n2,y\n", vec!["header"]),
        ("id,name,id\n1,x,1\n", vec!["id"]),
        ("\u{0}\u{1}\u{2}binary", vec!["header"]),
    ] {
        let case = validating("");
        case.put("bad.csv", table);
        let ran = case.once();
        assert_eq!(ran.code, Some(1), "{table:?}: {ran:?}");
        assert_says(&case.the_failed().error, &words);
        let reason = case.the_reason();
        assert_says(&reason.message, &words);
        assert_eq!(std::fs::read_to_string(reason.kept).unwrap(), table);
        case.assert_went_on();
    }
}

#[test]
fn a_file_above_max_error_rate_is_quarantined_and_still_has_its_report() {
    let case = validating(", max_error_rate: 0.4");
    case.put("bad.csv", "id,name\n1,a\nx,b\ny,c\n");
    let ran = case.once();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_says(&case.the_failed().error, &["2 of 3 rows are bad", "66.67%", "max_error_rate 40%"]);
    assert_says(&case.the_reason().message, &["2 of 3 rows"]);
    let reports = crate::kit::data_files(&case.join("data/reports"));
    let report = reports.values().map(|text| serde_json::from_slice::<serde_json::Value>(text).unwrap());
    let bad: Vec<_> = report.filter(|report| report["invalid"] == 2).collect();
    assert_eq!(bad.len(), 1, "{reports:?}");
    assert_eq!((bad[0]["total"].as_i64(), bad[0]["valid"].as_i64()), (Some(3), Some(1)));
    assert_eq!(case.exported().len(), 1);
    case.assert_went_on();
}

#[test]
fn bad_rows_alone_go_to_errors_with_their_reason() {
    let case = validating("");
    case.put("some.csv", "id,name\n1,a\nx,b\n\"unclosed,c\n");
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "rejected rows are no failure: {ran:?}");
    let rejects = crate::kit::data_files(&case.join("data/errors"));
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert_says(&String::from_utf8_lossy(rejects.values().next().unwrap()), &["id", "integer", "x,b"]);
    case.assert_went_on();
}

fn enriching() -> Case {
    let case = Case::declared(
        "uses: enricher, with: { lookups: [ { from: reference/people.csv, key: id, take: [age] } ] }, retries: 0",
    );
    case.put_good();
    case
}

#[test]
fn a_reference_file_that_is_missing_or_bad_is_named() {
    let case = enriching();
    let ran = case.once();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert_says(
        &format!("{}{}", ran.log, ran.out),
        &["reference/people.csv", "relative to the configuration"],
    );

    for (table, words) in
        [("", "people.csv"), ("number,age\n1,30\n", "\"id\""), ("id,name\n1,x\n", "\"age\"")]
    {
        let case = enriching();
        case.project.write("reference/people.csv", table);
        let ran = case.once();
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert_says(&format!("{}{}", ran.log, ran.out), &[words, "reference/people.csv"]);
    }
}

#[test]
fn a_reference_file_that_comes_later_lets_the_flow_go_on() {
    let case = enriching();
    case.once();
    case.project.write("reference/people.csv", "id,age\n1,30\n");
    let _running = case.serve();
    for row in case.failed() {
        case.sql(&format!("UPDATE deliveries SET status = 'pending', attempts = 0 WHERE id = {}", row.id));
    }
    handover_testkit::process::wait_for(crate::kit::LONG, "it is enriched", || {
        (case.times_exported("id,name,age\n1,good,30\n") == 1).then_some(())
    });
    assert_eq!(case.times_exported(GOOD), 0);
}

#[test]
fn a_retry_leaves_the_report_that_is_a_delivery_already() {
    let case = validating(", max_error_rate: 0.4");
    case.put("bad.csv", "id,name\n1,a\nx,b\ny,c\n");
    assert_eq!(case.once().code, Some(1));
    let before = crate::kit::data_files(&case.join("data"));
    case.project.write("schema.json", r#"{ "fields": [ { "name": "id" }, { "name": "name" } ] }"#);
    let id = case.the_failed().id.to_string();
    assert_eq!(case.run(&["retry", &id]).code, Some(0));
    let ran = case.once();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let after = crate::kit::data_files(&case.join("data"));
    for (name, content) in &before {
        assert_eq!(after.get(name), Some(content), "{name} was replaced");
    }
    let reports = case.rows().into_iter().filter(|row| {
        row.data["path"].as_str().is_some_and(|path| path.starts_with("reports/"))
            && row.status == "completed"
    });
    assert_eq!(reports.count(), 3, "one for the good file, one for each try of the bad one");
    assert_eq!(case.run(&["verify", "data"]).code, Some(0));
    case.assert_went_on();
}

#[test]
fn what_was_published_before_the_output_failed_is_in_the_ledger() {
    let case = validating("");
    case.project.write("data/middle", "a file in the place of the folder");
    case.put("some.csv", "id,name\n1,a\nx,b\n");
    assert_eq!(case.once().code, Some(1));
    let published = crate::kit::manifests_in(&case.join("data"));
    let paths: Vec<String> =
        case.rows().iter().filter_map(|row| row.data["path"].as_str().map(str::to_owned)).collect();
    for (manifest, _) in published {
        let data = case.join("data");
        let relative = manifest.parent().unwrap().strip_prefix(&data).unwrap().to_str().unwrap();
        let known = paths.iter().any(|path| path.starts_with(relative));
        assert!(known, "{manifest:?} is in no ledger: {paths:?}");
    }
    assert!(paths.iter().any(|path| path.starts_with("reports/")), "{paths:?}");
    assert!(paths.iter().any(|path| path.contains("-rejected_")), "{paths:?}");
}
