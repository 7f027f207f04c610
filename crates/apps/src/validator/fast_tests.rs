//! What the quick judgement accepts, the exact one accepts too.

use super::*;
use crate::validator::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

fn schema() -> Schema {
    let fields = [
        json!({ "type": "integer" }),
        json!({ "type": "integer", "constraints": { "minimum": -5, "maximum": 40 } }),
        json!({ "type": "integer", "constraints": { "exclusiveMinimum": 3, "exclusiveMaximum": 40 } }),
        json!({ "type": "number", "constraints": { "minimum": 0.1, "exclusiveMaximum": 12.5 } }),
        json!({ "type": "date", "constraints": { "minimum": "2012-02-29" } }),
        json!({ "type": "date" }),
        json!({ "type": "time" }),
        json!({ "type": "datetime" }),
        json!({ "type": "year", "constraints": { "maximum": 2012 } }),
        json!({ "type": "boolean" }),
        json!({ "type": "string", "constraints": { "pattern": "[0-9A-Z]{2}|x+", "maxLength": 3 } }),
        json!({ "type": "string", "constraints": { "enum": ["1", "12", "20", "ab"] } }),
        json!({ "type": "string", "constraints": { "minLength": 2, "required": true } }),
        json!({ "type": "any", "missingValues": ["1", "-"] }),
        json!({ "type": "integer", "missingValues": ["0", "12"], "constraints": { "required": true } }),
        json!({ "type": "integer", "missingValues": ["", "5"] }),
    ];
    let fields: Vec<_> = fields
        .into_iter()
        .enumerate()
        .map(|(index, mut field)| {
            field["name"] = json!(format!("f{index}"));
            field
        })
        .collect();
    Schema::read(json!({ "fields": fields }).as_object().unwrap()).unwrap()
}

fn exact(field: &Field, text: &str) -> Verdict {
    if field.is_missing(text) {
        return if field.constraints.required { Verdict::Ask } else { Verdict::Missing };
    }
    let Ok(value) = field.read(text) else { return Verdict::Ask };
    let mut fine = true;
    field.broken(text, &value, |_| fine = false);
    if fine { Verdict::Fine } else { Verdict::Ask }
}

#[test]
fn what_is_usual_is_accepted_here() {
    let schema = schema();
    for (field, text) in [
        (0, "-123456789012345678"),
        (1, "40"),
        (2, "4"),
        (3, "0.10001"),
        (4, "2012-02-29"),
        (5, "2013-12-31"),
        (6, "10:00:00Z"),
        (7, "2013-01-01T05:00:00Z"),
        (8, "1999"),
        (9, "TRUE"),
        (10, "0A"),
        (11, "20"),
        (12, "éü"),
    ] {
        assert_eq!(judge(&schema.fields[field], text), Verdict::Fine, "{text}");
    }
}

/// The quick word, which is the same whether the tail is at hand or not, and whatever stands before the cell.
fn judge(field: &Field, text: &str) -> Verdict {
    let column = Column::new(field);
    let alone = column.judge(text.as_bytes(), 0);
    for before in ["1234567,", "-------,", "9999-99-"] {
        let line = format!("{before}{text}");
        let tail = u64::from_le_bytes(*line.as_bytes().last_chunk().unwrap());
        assert_eq!(column.judge(text.as_bytes(), tail), alone, "{line:?}");
    }
    alone
}

#[test]
fn a_short_integer_is_read_at_once() {
    for text in ["0", "7", "-7", "42", "00042", "12345678", "-1234567", "99999999", "-0"] {
        let line = format!("1234567,{text}");
        let tail = u64::from_le_bytes(*line.as_bytes().last_chunk().unwrap());
        assert_eq!(short_integer(text.len(), tail), integer(text.as_bytes()), "{text}");
        assert!(short_integer(text.len(), tail).is_some(), "{text}");
        assert_eq!(short_integer(text.len(), 0), None);
    }
    for text in ["", "-", "+1", "1-", "--1", "1:", "/1", "123456789", "a", "1é", "1 "] {
        let line = format!("1234567,{text}");
        let tail = u64::from_le_bytes(*line.as_bytes().last_chunk().unwrap());
        assert_eq!(short_integer(text.len(), tail), None, "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_accepted_is_fine(
        text in prop_oneof![
            "[0-9+.-]{0,20}", "[0-9A-Zax-é ]{0,4}", "20[0-9]{2}-[0-9]{2}-[0-3][0-9]", "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z?",
            "2013-02-[0-3][0-9]T[0-2][0-9]:[0-6]0:00(Z|\\+01:00)?", "true|false|1|0|5|12|-",
        ]
    ) {
        for field in &schema().fields {
            let quick = judge(field, &text);
            if quick != Verdict::Ask {
                prop_assert_eq!(quick, exact(field, &text), "{:?} {:?}", field.kind, text);
            }
        }
    }
}
