//! Jobs of built-in apps, which work on a job's input as on a file.

use crate::kit::{Jobs, text};
use handover_core::Status;
use handover_runtime::operations::jobs::JobInput;
use handover_testkit::files_below;
use serde_json::{Value, json};

const APPS: &str = "apps:
  check:
    uses: validator
    with: { schema: { fields: [{ name: id, type: integer }, { name: name, type: string }] } }
  each: { uses: validator, with: { schema: { type: object, required: [id] } } }
  in: { run: cat }
  out: { uses: file-exporter, with: { to: outgoing } }
";

#[test]
fn a_validator_answers_with_rows_rejects_and_report() {
    let jobs = Jobs::new(APPS, &[]);
    let csv = jobs.submit("check", Value::Null, text("id,name\n1,a\nx,b\n", "text/csv"));
    let records = json!([{ "id": 1 }, { "no": 2 }]);
    let list = jobs.submit("each", Value::Null, Some(JobInput::Json(records)));
    let one = jobs.submit("each", Value::Null, Some(JobInput::Json(json!({ "id": 7 }))));
    jobs.once();
    let job = jobs.ended(csv);
    let result = job.result.unwrap();
    assert_eq!((job.status, &result["output"]["text"]), (Status::Completed, &json!("id,name\n1,a\n")));
    assert_eq!((&result["rows_in"], &result["rows_rejected"]), (&json!(2), &json!(1)));
    assert_eq!(result["output"]["media_type"], "text/csv");
    assert!(result["rejected"]["text"].as_str().unwrap().contains("x,b"), "{result}");
    assert_eq!((&result["report"]["total"], &result["report"]["invalid"]), (&json!(2), &json!(1)));
    let result = jobs.ended(list).result.unwrap();
    assert_eq!((&result["rows_in"], &result["rows_out"]), (&json!(2), &json!(1)), "{result}");
    assert_eq!(jobs.output(one), "{\"id\":7}\n");
    for folder in ["validated", "check", "each", "reports", "errors"] {
        assert!(files_below(&jobs.project.join("data").join(folder)).is_empty(), "{folder}");
    }
}

#[test]
fn a_table_that_is_refused_is_a_failed_job_with_its_report() {
    let jobs = Jobs::new(APPS, &[]);
    let id = jobs.submit("check", Value::Null, text("no,such\n1,a\n", "text/csv"));
    jobs.once();
    let job = jobs.ended(id);
    let result = job.result.unwrap();
    assert_eq!((job.status, &result["code"]), (Status::Failed, &json!("BAD_DATA")), "{result}");
    assert!(result["report"].is_object(), "{result}");
    assert!(files_below(&jobs.project.join("data/errors")).is_empty());
}

#[test]
fn a_file_is_exported_and_validated_by_a_job() {
    let jobs = Jobs::new(APPS, &[("x.csv", "id,name\n1,a\n")]);
    let put = jobs.json(&["--json", "put", "x.csv", "--app", "in", "--type", "sales", "--next", "check"]);
    let file = || Some(JobInput::File(put["path"].as_str().unwrap().to_owned()));
    let (checked, exported) =
        (jobs.submit("check", Value::Null, file()), jobs.submit("out", Value::Null, file()));
    jobs.once();
    assert_eq!(jobs.output(checked), "id,name\n1,a\n");
    let job = jobs.ended(exported);
    assert_eq!(job.status, Status::Completed, "{job:?}");
    let path = job.result.unwrap()["outputs"][0].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "id,name\n1,a\n");
}
