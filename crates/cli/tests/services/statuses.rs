//! What each class of status means for a delivery.

use crate::kit::Site;
use handover_testkit::{Reply, files_below};
use serde_json::{Value, json};

/// One delivery that was answered so: it, what `why` says, and the names in `errors/`.
fn answered(more: &str, reply: Reply) -> (Value, String, Vec<String>, usize) {
    let site = Site::new(more, move |_| reply.clone());
    site.project.arrive("incoming/a.csv", "n\n1\n");
    site.once();
    let delivery = site.deliveries("bill")[0].clone();
    let why = site.prints(&["why", &delivery["id"].to_string()]);
    let errors = files_below(&site.project.join("data/errors")).into_iter();
    let errors = errors.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let shown = site.json(&["show", &delivery["id"].to_string()]);
    (
        shown["delivery"].as_object().map_or(delivery, |_| shown["delivery"].clone()),
        why,
        errors,
        site.server.asked().len(),
    )
}

#[test]
fn bad_data_is_kept_with_what_the_service_said() {
    for status in [400, 404, 409, 410, 413, 415, 422] {
        let long = format!("row 2 is wrong {}", "x".repeat(5_000));
        let (delivery, why, errors, asked) = answered("", Reply::new(status, long));
        assert_eq!((&delivery["status"], asked), (&json!("failed"), 1), "{status}: {delivery}");
        let text = delivery.to_string();
        assert!(text.contains(&format!("it answered {status}")) && text.contains("row 2 is wrong"), "{text}");
        assert!(!text.contains(&"x".repeat(1_100)), "only the beginning is kept");
        assert!(why.contains("bad data is not tried again"), "{why}");
        assert!(errors.iter().any(|name| name.contains("quarantined")), "{errors:?}");
    }
}

#[test]
fn what_is_not_allowed_or_not_understood_has_failed_and_is_no_bad_data() {
    let redirect = Reply::new(307, "").with("Location", "http://127.0.0.1:1/else?token=s3cret");
    let cases = [
        (Reply::new(401, ""), "DENIED", "it answered 401"),
        (Reply::new(403, "who are you"), "DENIED", "who are you"),
        (Reply::new(405, ""), "CONFIG_ERROR", "it answered 405"),
        (redirect, "CONFIG_ERROR", "a redirect to http://127.0.0.1:1/else, and redirects are not followed"),
    ];
    for (reply, code, said) in cases {
        let (delivery, why, errors, asked) = answered("", reply);
        let text = delivery.to_string();
        assert_eq!((&delivery["status"], asked), (&json!("failed"), 1), "{text}");
        assert!(text.contains(code) && text.contains(said) && !text.contains("s3cret"), "{text}");
        assert!(errors.is_empty() && why.contains("handover retry"), "{why} {errors:?}");
    }
}

#[test]
fn another_time_is_another_time_and_no_sooner_than_the_service_says() {
    for status in [408, 425, 429, 500, 502, 503, 504] {
        let (delivery, ..) = answered("", Reply::new(status, "busy"));
        assert_eq!(delivery["status"], "pending", "{status}: {delivery}");
        assert_eq!(delivery["attempts"], 1, "{status}: {delivery}");
    }
    let (delivery, ..) = answered("", Reply::new(503, "").with("Retry-After", "3600"));
    let time = |key: &str| delivery[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let wait = time("run_at").duration_since(time("updated_at")).as_secs();
    assert!((3_595..=3_605).contains(&wait), "{wait}: {delivery}");
    let (last, _, errors, asked) = answered(", retries: 0", Reply::new(500, "broken"));
    assert_eq!((&last["status"], asked), (&json!("failed"), 1), "{last}");
    assert!(last.to_string().contains("SERVICE_FAILED") && errors.is_empty(), "{last}");
}

#[test]
fn an_answer_that_breaks_off_or_is_late_counts_for_nothing() {
    for (more, reply) in [
        ("", Reply::Half(b"n\n1\n".to_vec())),
        ("", Reply::Nothing),
        (
            ", timeout: 50ms",
            Reply::After(std::time::Duration::from_secs(60), Box::new(Reply::new(200, "late"))),
        ),
    ] {
        let (delivery, _, errors, _) = answered(more, reply);
        assert_eq!(
            (&delivery["status"], &delivery["attempts"]),
            (&json!("pending"), &json!(1)),
            "{delivery}"
        );
        assert!(errors.is_empty());
    }
}
