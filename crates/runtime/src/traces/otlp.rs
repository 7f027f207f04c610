//! Spans as OTLP's JSON (opentelemetry-proto, `ExportTraceServiceRequest`): ids as hexadecimal digits, 64-bit numbers as texts.

use super::Span;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value};
use std::borrow::Cow;

/// So long a text of a span is at most.
const TEXT_MAX_CHARS: usize = 2_000;
/// The status of a span that failed.
const STATUS_ERROR: i32 = 2;

/// `ExportTraceServiceRequest`: all of it is written from what the spans hold, without a copy of theirs in between.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [KeyValue<'a>; 2],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    #[serde(serialize_with = "each")]
    spans: &'a [Span],
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneSpan<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<&'a str>,
    name: Cow<'a, str>,
    kind: i32,
    start_time_unix_nano: Digits<i128>,
    end_time_unix_nano: Digits<i128>,
    #[serde(serialize_with = "attributes")]
    attributes: &'a [(&'static str, Value)],
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: i32,
    message: Cow<'a, str>,
}

#[derive(Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

#[derive(Serialize)]
enum AnyValue<'a> {
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "doubleValue")]
    Double(&'a Number),
    #[serde(rename = "intValue")]
    Int(Digits<&'a Number>),
    #[serde(rename = "stringValue")]
    Text(Cow<'a, str>),
}

/// A number as a text.
struct Digits<T>(T);

impl<T: std::fmt::Display> Serialize for Digits<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The body of a request.
///
/// # Errors
/// None that is known: texts and numbers can be written.
pub(super) fn body(service: &str, spans: &[Span]) -> serde_json::Result<String> {
    let name = KeyValue { key: "service.name", value: AnyValue::Text(cut(service)) };
    let version = AnyValue::Text(Cow::Borrowed(env!("CARGO_PKG_VERSION")));
    let attributes = [name, KeyValue { key: "service.version", value: version }];
    let scope_spans = [ScopeSpans { scope: Scope { name: "handover" }, spans }];
    let resource_spans = [ResourceSpans { resource: Resource { attributes }, scope_spans }];
    serde_json::to_string(&Request { resource_spans })
}

fn each<S: Serializer>(spans: &&[Span], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(spans.iter().map(one))
}

fn one(span: &Span) -> OneSpan<'_> {
    OneSpan {
        trace_id: &span.context.trace,
        span_id: &span.context.span,
        parent_span_id: span.parent.as_deref(),
        name: cut(&span.name),
        kind: span.kind as i32,
        start_time_unix_nano: nanoseconds(span.began),
        end_time_unix_nano: nanoseconds(span.ended),
        attributes: &span.attributes,
        status: span.error.as_deref().map(|error| Status { code: STATUS_ERROR, message: cut(error) }),
    }
}

fn attributes<S: Serializer>(all: &&[(&'static str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|(key, value)| KeyValue { key, value: any(value) }))
}

fn any(value: &Value) -> AnyValue<'_> {
    match value {
        Value::Bool(is) => AnyValue::Bool(*is),
        Value::Number(number) if number.is_f64() => AnyValue::Double(number),
        Value::Number(number) => AnyValue::Int(Digits(number)),
        Value::String(text) => AnyValue::Text(cut(text)),
        other => AnyValue::Text(Cow::Owned(cut(&other.to_string()).into_owned())),
    }
}

fn nanoseconds(at: Timestamp) -> Digits<i128> {
    Digits(at.as_nanosecond().max(0))
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_MAX_CHARS {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(TEXT_MAX_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanKind;
    use super::*;
    use handover_core::trace::TraceContext;
    use serde_json::json;

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
        let body: Value = serde_json::from_str(&body("handover", &[one]).unwrap()).unwrap();
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
