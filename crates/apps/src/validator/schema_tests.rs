//! Types, formats and constraints, as tables: the cells that pass and those that do not.

use super::schema::Schema;
use serde_json::{Value, json};

fn read(schema: &Value) -> handover_core::Result<Schema> {
    Schema::read(schema.as_object().unwrap())
}

/// What is wrong with a cell by this field, or nothing.
fn judge(field: &Value, text: &str) -> Vec<String> {
    let mut field = field.clone();
    field["name"] = json!("x");
    let schema = read(&json!({ "fields": [field] })).unwrap();
    let field = &schema.fields[0];
    let mut wrong = Vec::new();
    match field.read(text) {
        Ok(value) => field.broken(text, &value, |message| wrong.push(message)),
        Err(message) => wrong.push(message),
    }
    wrong
}

#[test]
fn types_and_formats() {
    let table: &[(Value, &[&str], &[&str])] = &[
        (json!({"type": "any"}), &["", "x", "1"], &[]),
        (json!({}), &["", "x"], &[]),
        (json!({"type": "string"}), &["x", " ", "\0"], &[]),
        (json!({"type": "string", "format": "email"}), &["a@b.de"], &["a"]),
        (json!({"type": "string", "format": "uri"}), &["http://a.de"], &["a.de"]),
        (json!({"type": "string", "format": "uuid"}), &["123e4567-e89b-12d3-a456-426614174000"], &["1"]),
        (json!({"type": "string", "format": "binary"}), &["YQ=="], &["Y"]),
        (json!({"type": "integer"}), &["1", "-5", "+3"], &["1.0", "x", "NA", "", "1,000"]),
        (json!({"type": "integer", "groupChar": ","}), &["1,000"], &["1.000"]),
        (json!({"type": "integer", "bareNumber": false}), &["€95", "95%"], &["x"]),
        (json!({"type": "number"}), &["1", "1.5", "1e3", "NaN", "INF", "-INF"], &["1,5", "x"]),
        (json!({"type": "number", "decimalChar": ",", "groupChar": "."}), &["1.234,5"], &["1,2,3"]),
        (json!({"type": "number", "bareNumber": false}), &["€1.5"], &["€"]),
        (json!({"type": "boolean"}), &["true", "False", "1", "0"], &["yes", "TrUe"]),
        (
            json!({"type": "boolean", "trueValues": ["ja"], "falseValues": ["nein"]}),
            &["ja", "nein"],
            &["true"],
        ),
        (json!({"type": "date"}), &["2013-01-31"], &["31.01.2013", "2013-02-30"]),
        (json!({"type": "date", "format": "any"}), &["2013/01/31"], &["soon"]),
        (json!({"type": "date", "format": "%d.%m.%Y"}), &["31.01.2013"], &["2013-01-31"]),
        (json!({"type": "time"}), &["10:00:00"], &["10:00"]),
        (json!({"type": "time", "format": "%H:%M"}), &["10:00"], &["10:00:00", "25:00"]),
        (json!({"type": "datetime"}), &["2013-01-01T10:00:00Z"], &["2013-01-01"]),
        (
            json!({"type": "datetime", "format": "%Y-%m-%dT%H:%M:%SZ"}),
            &["2013-01-01T10:00:00Z"],
            &["2013-01-01 10:00:00"],
        ),
        (json!({"type": "datetime", "format": "any"}), &["2013-01-01 10:00"], &["x"]),
        (json!({"type": "year"}), &["2013"], &["13"]),
        (json!({"type": "yearmonth"}), &["2013-01"], &["2013-13"]),
        (json!({"type": "duration"}), &["P1D"], &["1 day"]),
        (json!({"type": "object"}), &["{}", "{\"a\":1}"], &["[]", "{", "null"]),
        (json!({"type": "array"}), &["[]", "[1]"], &["{}", "x"]),
        (json!({"type": "list"}), &["a,b", ""], &[]),
        (
            json!({"type": "list", "itemType": "integer", "delimiter": ";"}),
            &["1;2", "5"],
            &["1;x", "1,2", ""],
        ),
        (json!({"type": "geojson"}), &["{\"type\": \"Point\", \"coordinates\": [1, 2]}"], &["{}", "x"]),
        (
            json!({"type": "geojson", "format": "topojson"}),
            &["{\"type\": \"Topology\", \"objects\": {}, \"arcs\": []}"],
            &["{\"type\": \"Point\", \"coordinates\": [1, 2]}"],
        ),
        (json!({"type": "geopoint"}), &["90.5, 45.5"], &["90.5"]),
        (json!({"type": "geopoint", "format": "array"}), &["[90.5, 45.5]"], &["90.5, 45.5"]),
        (json!({"type": "geopoint", "format": "object"}), &["{\"lon\": 1, \"lat\": 2}"], &["[1, 2]"]),
    ];
    for (field, good, bad) in table {
        for text in *good {
            assert_eq!(judge(field, text), Vec::<String>::new(), "{field} {text}");
        }
        for text in *bad {
            let wrong = judge(field, text);
            assert!(wrong.len() == 1 && wrong[0].contains(" is not "), "{field} {text}: {wrong:?}");
        }
    }
}

#[test]
fn constraints() {
    let table: &[(&str, Value, &[&str], &[&str])] = &[
        ("integer", json!({"minimum": 1}), &["1", "99999999999999999999"], &["0", "-1"]),
        ("integer", json!({"maximum": "12"}), &["12", "-99999999999999999999"], &["13"]),
        (
            "number",
            json!({"minimum": 0.1, "maximum": 1}),
            &["0.1", "1.0", "1"],
            &["0.09999", "1.0000001", "NaN", "INF"],
        ),
        (
            "date",
            json!({"minimum": "2013-01-01", "maximum": "2013-12-31"}),
            &["2013-01-01", "2013-12-31"],
            &["2012-12-31", "2014-01-01"],
        ),
        ("time", json!({"maximum": "12:00:00"}), &["12:00:00"], &["12:00:00.1"]),
        (
            "datetime",
            json!({"minimum": "2013-01-01T00:00:00Z"}),
            &["2013-01-01T01:00:00+01:00"],
            &["2013-01-01T00:30:00+01:00"],
        ),
        ("year", json!({"minimum": 2000}), &["2000"], &["1999"]),
        ("integer", json!({"exclusiveMinimum": 1, "exclusiveMaximum": "3"}), &["2"], &["1", "3"]),
        ("number", json!({"exclusiveMinimum": 1}), &["1.0000000000000000001"], &["1.0", "NaN"]),
        (
            "duration",
            json!({"minimum": "P1D", "maximum": "P1M"}),
            &["P1D", "PT48H", "P27D"],
            &["PT1H", "P32D", "P30D"],
        ),
        ("list", json!({"minLength": 2, "maxLength": 2}), &["a,b"], &["a", "a,b,c"]),
        ("object", json!({"jsonSchema": {"required": ["a"]}}), &["{\"a\": 1}"], &["{}"]),
        ("array", json!({"jsonSchema": {"items": {"type": "integer"}}}), &["[1]"], &["[\"x\"]"]),
        ("object", json!({"enum": [{"a": 1, "b": 2}]}), &["{\"b\":2,\"a\":1}"], &["{\"a\":1}"]),
        ("year", json!({"enum": [2012, "2013"]}), &["2012", "2013"], &["2014"]),
        ("duration", json!({"enum": ["PT24H"]}), &["P1D"], &["P2D"]),
        ("yearmonth", json!({"maximum": "2013-06"}), &["2013-06", "2012-12"], &["2013-07"]),
        ("string", json!({"minLength": 2, "maxLength": 3}), &["ab", "äöü"], &["a", "abcd"]),
        ("array", json!({"minLength": 1}), &["[1]"], &["[]"]),
        ("object", json!({"maxLength": 1}), &["{}", "{\"a\": [1, 2]}"], &["{\"a\":1,\"b\":2}"]),
        ("string", json!({"pattern": "[A-Z]{2}|x"}), &["AB", "x"], &["ABC", "xx", "ab", "AB\n"]),
        ("string", json!({"enum": ["EWR", "JFK"]}), &["JFK"], &["jfk", ""]),
        ("integer", json!({"enum": [1, "2"]}), &["1", "01", "2"], &["3"]),
        ("number", json!({"enum": [1.5]}), &["1.50"], &["1.51"]),
        ("boolean", json!({"enum": [true]}), &["true", "1"], &["false"]),
    ];
    for (kind, constraints, good, bad) in table {
        let field = json!({ "type": kind, "constraints": constraints });
        for text in *good {
            assert_eq!(judge(&field, text), Vec::<String>::new(), "{field} {text}");
        }
        for text in *bad {
            assert!(!judge(&field, text).is_empty(), "{field} {text}");
        }
    }
}

#[test]
fn nothing_in_a_schema_is_silently_ignored() {
    let field = |more: Value| {
        let mut field = json!({ "name": "x" });
        field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "fields": [field] })
    };
    let with = |more: Value| {
        let mut schema = json!({ "fields": [{ "name": "x" }, { "name": "y" }] });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    };
    for (schema, why, hint) in [
        (json!({}), "no `fields`", ""),
        (json!({"properties": {}}), "no `fields`", "Table Schema"),
        (json!({"fields": []}), "one field or more", ""),
        (json!({"fields": [{}]}), "field 1: it has no name", ""),
        (json!({"fields": [{"name": "x"}, {"name": "x"}]}), "two fields", ""),
        (field(json!({"type": "intger"})), "\"intger\"", "did you mean integer?"),
        (field(json!({"type": "currency"})), "\"currency\"", "known are"),
        (field(json!({"type": "list", "itemType": "object"})), "\"object\"", "known are"),
        (field(json!({"type": "list", "delimiter": ""})), "delimiter", ""),
        (field(json!({"categories": []})), "categories", ""),
        (field(json!({"categories": ["a"], "constraints": {"enum": ["a"]}})), "both categories and enum", ""),
        (field(json!({"type": "object", "constraints": {"jsonSchema": {"type": "x"}}})), "jsonSchema", ""),
        (field(json!({"constraints": {"jsonSchema": {}}})), "does not apply", ""),
        (field(json!({"typ": "integer"})), "\"typ\"", "did you mean type?"),
        (
            field(json!({"bareNumber": true})),
            "\"bareNumber\" is not a property of a field of type string",
            "",
        ),
        (field(json!({"format": "mail"})), "\"mail\"", "email"),
        (field(json!({"type": "date", "format": "iso"})), "\"iso\"", "strptime"),
        (field(json!({"type": "date", "format": "%d.%m"})), "%d.%m", ""),
        (field(json!({"type": "integer", "format": "hex"})), "\"hex\"", ""),
        (field(json!({"constraints": {"requird": true}})), "\"requird\"", "did you mean required?"),
        (field(json!({"constraints": {"required": "yes"}})), "true or false", ""),
        (field(json!({"constraints": {"minimum": 1}})), "does not apply to type string", ""),
        (field(json!({"type": "integer", "constraints": {"pattern": "1"}})), "does not apply", ""),
        (field(json!({"type": "integer", "constraints": {"minimum": "x"}})), "not an integer", ""),
        (field(json!({"type": "integer", "constraints": {"enum": ["x"]}})), "not an integer", ""),
        (field(json!({"constraints": {"enum": []}})), "enum", ""),
        (field(json!({"constraints": {"pattern": "(?=x)"}})), "look-around", "look-around"),
        (field(json!({"constraints": {"minLength": -1}})), "minLength", ""),
        (field(json!({"type": "boolean", "trueValues": ["1"], "falseValues": ["1"]})), "both", ""),
        (field(json!({"type": "number", "groupChar": "."})), "the same", ""),
        (with(json!({"foreignKeys": [{}]})), "no `reference`", ""),
        (
            with(
                json!({"foreignKeys": [{"fields": ["x", "y"], "reference": {"resource": "r", "fields": "a"}}]}),
            ),
            "2 fields, and its reference 1",
            "",
        ),
        (
            with(json!({"foreignKeys": [{"fields": "x", "reference": {"resource": "", "fields": "z"}}]})),
            "\"z\"",
            "",
        ),
        (with(json!({"fieldsMatch": "subst"})), "\"subst\"", "did you mean subset?"),
        (with(json!({"primaryKey": "z"})), "\"z\"", ""),
        (with(json!({"uniqueKeys": [["x", "q"]]})), "\"q\"", ""),
        (with(json!({"missingValue": []})), "\"missingValue\"", "did you mean missingValues?"),
        (with(json!({"missingValues": "NA"})), "list of texts", ""),
    ] {
        let error = read(&schema).unwrap_err();
        assert!(error.to_string().contains(why), "{schema}: {error}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{schema}: {:?}", error.hint_text());
    }
    assert!(
        read(&with(
            json!({"title": "t", "x-own": 1, "foreignKeys": [], "fieldsMatch": ["exact"], "$schema": "s"})
        ))
        .is_ok()
    );
}
