//! Spans as OTLP's JSON (opentelemetry-proto, `ExportTraceServiceRequest`): ids as hexadecimal digits, 64-bit numbers as texts.

use super::Span;
use jiff::Timestamp;
use serde_json::{Value, json};

/// So long a text of a span is at most.
const TEXT_MAX_CHARS: usize = 2_000;
/// The status of a span that failed.
const STATUS_ERROR: i32 = 2;

/// The body of a request.
pub(super) fn body(service: &str, spans: &[Span]) -> String {
    let resource = [
        attribute("service.name", &Value::from(service)),
        attribute("service.version", &Value::from(env!("CARGO_PKG_VERSION"))),
    ];
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": { "name": "handover" }, "spans": spans }]
        }]
    })
    .to_string()
}

fn span(span: &Span) -> Value {
    let attributes: Vec<Value> = span.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut all = json!({
        "traceId": span.context.trace,
        "spanId": span.context.span,
        "name": cut(&span.name),
        "kind": span.kind as i32,
        "startTimeUnixNano": nanoseconds(span.began),
        "endTimeUnixNano": nanoseconds(span.ended),
        "attributes": attributes,
    });
    if let Some(parent) = &span.parent {
        all["parentSpanId"] = Value::from(parent.as_str());
    }
    if let Some(error) = &span.error {
        all["status"] = json!({ "code": STATUS_ERROR, "message": cut(error) });
    }
    all
}

fn attribute(name: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(is) => json!({ "boolValue": is }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": cut(text) }),
        other => json!({ "stringValue": cut(&other.to_string()) }),
    };
    json!({ "key": name, "value": value })
}

fn nanoseconds(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanKind;
    use super::*;
    use handover_core::trace::TraceContext;

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let context = TraceContext {
            trace: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            span: "00f067aa0ba902b7".into(),
            sampled: true,
        };
        let one = Span {
            context,
            parent: Some("10f067aa0ba902b7".into()),
            name: "validator".into(),
            kind: SpanKind::Client,
            began: "2025-11-24T10:30:00.5Z".parse().unwrap(),
            ended: "2025-11-24T10:30:01Z".parse().unwrap(),
            attributes: vec![("handover.rows_in", Value::from(7)), ("handover.flow", Value::from("sales"))],
            error: Some("it broke".repeat(1_000)),
        };
        let body: Value = serde_json::from_str(&body("handover", &[one])).unwrap();
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "handover");
        let span = &resource["scopeSpans"][0]["spans"][0];
        assert_eq!(
            (&span["traceId"], &span["kind"]),
            (&json!("4bf92f3577b34da6a3ce929d0e0e4736"), &json!(3))
        );
        assert_eq!(span["startTimeUnixNano"], "1763980200500000000");
        assert_eq!(span["attributes"][0], json!({ "key": "handover.rows_in", "value": { "intValue": "7" } }));
        assert_eq!(span["status"]["code"], 2);
        assert_eq!(span["status"]["message"].as_str().unwrap().chars().count(), TEXT_MAX_CHARS + 1);
    }
}
