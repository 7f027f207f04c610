use super::*;
use proptest::prelude::*;
use serde_json::json;

const ROW_NAMES: [&str; 6] = ["quantity", "price", "name", "unit price", "at", "empty"];
const ROW_CELLS: [&str; 6] = ["3", "2.50", "Ada", "7", "2013-01-01T10:00:00Z", ""];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn text(value: Result<Value<'_>, Fault>) -> Result<String, String> {
    let mut into = Vec::new();
    value.and_then(|value| value.write_csv(&mut into)).map_err(|fault| fault.to_string())?;
    Ok(String::from_utf8(into).unwrap())
}

fn evaluate(source: &str, columns: &[&str], cells: &[&str]) -> Result<String, String> {
    let expression = Expression::new(source, &names(columns)).map_err(|error| error.to_string())?;
    let by_tree = text(expression.eval_row(&cells));
    let interpreted = text(interpret::row(&expression.code, &expression.columns, &expression.all, &cells));
    assert_eq!(by_tree, interpreted, "{source}");
    by_tree
}

#[test]
fn expressions_over_a_row() {
    for (source, expected, compiled) in [
        ("round(double(quantity) * double(price), 2)", "7.5", true),
        ("double(quantity)", "3", true),
        ("int(quantity) + 1", "4", true),
        ("1.0 / 3.0", "0.3333333333333333", true),
        ("1e21", "1e21", true),
        ("1e20", "100000000000000000000", true),
        ("0.1 + 0.2", "0.30000000000000004", true),
        ("-0.0", "0", true),
        ("round(2.5)", "2", true),
        ("round(3.5)", "4", true),
        ("round(2.675, 2)", "2.67", true),
        ("round(1234.5, -2)", "1200", true),
        ("round(double('1400') * 1.609344, 1)", "2253.1", true),
        ("floor(2.7)", "2", true),
        ("ceil(2.1)", "3", true),
        ("abs(-5)", "5", true),
        ("abs(-5.5)", "5.5", true),
        ("min(3, 1, 2)", "1", false),
        ("min(3, 1)", "1", true),
        ("max([1.5, 2.5])", "2.5", false),
        ("name + '!'", "Ada!", true),
        ("name.lowerAscii()", "ada", false),
        ("name.size()", "3", true),
        ("size(name) > 2 && quantity in ['3', '4']", "true", true),
        ("name.startsWith('A') ? 'yes' : 'no'", "yes", true),
        ("name.matches('^A')", "true", true),
        ("matches(name, 'da$')", "true", true),
        ("row['unit price']", "7", true),
        ("row.name + row['name']", "AdaAda", true),
        ("has(row.name)", "true", false),
        ("timestamp(at)", "2013-01-01T10:00:00Z", false),
        ("timestamp(at).getHours()", "10", false),
        ("timestamp(at) + duration('1h')", "2013-01-01T11:00:00Z", false),
        ("duration('90m')", "5400s", false),
        ("empty == '' ? '' : string(double(empty) * 2.0)", "", false),
        ("empty == '' || double(empty) > 1.0", "true", true),
        ("double(empty) > 1.0 || empty == ''", "true", true),
        ("['a', 'b'].exists(x, x == name)", "false", false),
        ("name.split('').map(c, c + row['unit price']).join('-')", "A7-d7-a7", false),
        ("null", "", false),
        ("math.round(2.5)", "3", false),
        ("math.greatest(1, 2, 3)", "3", false),
    ] {
        assert_eq!(evaluate(source, &ROW_NAMES, &ROW_CELLS).as_deref(), Ok(expected), "{source}");
        let expression = Expression::new(source, &names(&ROW_NAMES)).unwrap();
        assert_eq!(expression.code.typed.is_some(), compiled, "{source}");
    }
}

#[test]
fn an_error_of_a_row_is_said() {
    for (source, why) in [
        ("double(a)", "double(): string parse error"),
        ("int(a) + 1", "int()"),
        ("1.0 / double(b)", "not a finite number"),
        ("1 / int(b)", "division by zero"),
        ("[a]", "a list"),
        ("{a: b}", "a map"),
        ("timestamp(a)", "timestamp"),
        ("9223372036854775807 + int(b) + 1", "too large"),
    ] {
        let error = evaluate(source, &["a", "b"], &["NA", "0"]).unwrap_err();
        assert!(error.contains(why), "{source}: {error}");
    }
    let bad: [&[u8]; 1] = [b"\xff"];
    let expression = Expression::new("a == 'x'", &names(&["a"])).unwrap();
    assert!(expression.eval_row(&bad[..].as_ref()).unwrap_err().to_string().contains("not UTF-8"));
    let fault = Fault::new("why");
    assert_eq!(expression.explain_row(&fault, &["x"][..].as_ref()), "`a == 'x'`: why (a is \"x\")");
    let huge = "x,".repeat(10_000);
    let looping = Expression::new("a.split(',').all(x, x != '')", &names(&["a"])).unwrap();
    let cells = [huge.as_str()];
    assert!(looping.eval_row(&cells[..].as_ref()).unwrap_err().to_string().contains("longer than"));
}

#[test]
fn a_wrong_expression_is_found_before_the_first_row() {
    let deep = format!("{}1{}", "(".repeat(60), ")".repeat(60));
    let long = format!("a{}", " + a".repeat(300));
    let longer = "a".repeat(9000);
    for (source, why) in [
        ("1 +", "cannot be read"),
        ("", "cannot be read"),
        ("rond(double(a))", "rond is not known"),
        ("a == '' ? 'x' : rond(a)", "rond is not known"),
        ("a.split(',').map(x, lowr(x)).join()", "lowr is not known"),
        ("math.sqare(2.0)", "sqare is not known"),
        ("a.wobble()", "wobble is not known"),
        ("a * b", "text and text do not go together"),
        ("double(a) * b", "do not go together"),
        ("a == '' ? 1.0 : b * 2.0", "do not go together"),
        ("1400 * 1.5", "an integer and a double do not go together"),
        ("a > 5", "text cannot be compared with an integer"),
        ("a == 5", "text cannot be compared with an integer"),
        ("double(a) / 0.0", "divides by zero"),
        ("int(a) % 0", "divides by zero"),
        ("1 / (2 - 2)", "division by zero"),
        ("int('x') + int(a)", "string parse error"),
        ("a.matches('(')", "matches(): "),
        ("a.matches(b)", "written out"),
        ("a.matches('((a{1,1000}){1,1000}){1,1000}')", "matches(): "),
        ("row['c'] + a", "no column \"c\""),
        ("c + a", "no column \"c\""),
        (deep.as_str(), "nested"),
        (long.as_str(), "levels deep"),
        (longer.as_str(), "longer than"),
        ("a.split(',').all(x, b.split(',').exists(y, x == y))", "within a loop over another"),
        (
            "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2].all(e, true)))))",
            "steps",
        ),
    ] {
        let error = Expression::new(source, &names(&["a", "b"])).unwrap_err();
        assert_eq!(error.kind(), handover_core::ErrorKind::Config);
        assert!(error.to_string().contains(why), "{source}: {error}");
    }
    let error = Expression::new("rond(double(a))", &names(&["a"])).unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean round()?"));
    let error = Expression::new("nme", &names(&["name", "x", "x"])).unwrap_err();
    assert_eq!(error.hint_text(), Some("did you mean name?"));
    let error = Expression::new("x", &names(&["name", "x", "x"])).unwrap_err();
    assert!(error.to_string().contains("two such columns"), "{error}");
}

#[test]
fn a_condition_is_true_or_false() {
    for source in ["a == '1'", "a.trim() == ''", "a.split(',').exists(x, x == b)"] {
        Expression::condition(source, Over::Rows).unwrap();
    }
    for (source, kind) in [("a", "text"), ("double(a) + 1.0", "a double"), ("a.trim()", "text")] {
        let error = Expression::condition(source, Over::Rows).unwrap_err().to_string();
        assert!(error.contains(kind), "{error}");
    }
    let expression =
        Expression::condition("double(a) > 1.5", Over::Rows).unwrap().bind(&names(&["x", "a"])).unwrap();
    assert_eq!(expression.columns(), [1]);
    assert_eq!(expression.holds_row(&["0", "2"][..].as_ref()), Ok(true));
}

#[test]
fn the_columns_of_an_expression_are_known() {
    let uses = |source: &str| {
        let expression = Expression::compile(source, Over::Rows).unwrap();
        expression.names().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(uses("double(a) + double(b) + double(a)"), ["a", "b"]);
    assert_eq!(uses("[a].map(x, x + b).size()"), ["a", "b"]);
    assert_eq!(uses("type(a) == string"), ["a"]);
    assert_eq!(uses("row['x y'] + a"), ["x y", "a"]);
    assert!(uses("math.abs(1) + 1").is_empty());
    assert!(Expression::compile("has(row.a)", Over::Rows).unwrap().uses_row());
}

#[test]
fn records_have_their_types() {
    let record = json!({
        "n": 3, "x": 2.5, "s": "Ada", "ok": true, "no": null, "tags": ["a", "b"], "deep": { "z": 1, "b": [2.0] },
        "big": 18446744073709551615u64, "odd name": 1,
    });
    for (source, expected) in [
        ("n * 2", "6"),
        ("double(n) * x", "7.5"),
        ("s + '!'", "\"Ada!\""),
        ("ok && n > 2", "true"),
        ("no == null", "true"),
        ("tags.exists(t, t == 'b')", "true"),
        ("tags", "[\"a\",\"b\"]"),
        ("deep", "{\"b\":[2],\"z\":1}"),
        ("deep.z + n", "4"),
        ("has(row.gone) ? 1 : 0", "0"),
        ("row['odd name']", "1"),
        ("big", "18446744073709551615"),
        ("s.matches('^A')", "true"),
    ] {
        let expression = Expression::compile(source, Over::Records).unwrap();
        let mut into = Vec::new();
        expression.eval_record(&record).unwrap().write_json(&mut into).unwrap();
        assert_eq!(String::from_utf8(into).unwrap(), expected, "{source}");
    }
    for (source, why) in [
        ("gone + 1", "no field \"gone\""),
        ("n * x", "do not go together"),
        ("n / (n - 3)", "division by zero"),
    ] {
        let expression = Expression::compile(source, Over::Records).unwrap();
        let fault = expression.eval_record(&record).unwrap_err();
        assert!(fault.to_string().contains(why), "{source}: {fault}");
    }
    let error = Expression::compile("rond(n)", Over::Records).unwrap_err();
    assert!(error.to_string().contains("rond is not known"), "{error}");
}

#[test]
fn hostile_expressions_are_answered() {
    for source in [
        "(".repeat(8000),
        "[".repeat(40),
        "!".repeat(8000) + "true",
        "-".repeat(8000) + "1",
        "a?".repeat(4000),
        "a.".repeat(4000) + "a",
        "a[".repeat(40),
        "\u{0}".to_owned(),
        "'".to_owned(),
        "\"\\u{110000}\"".to_owned(),
        "1u + 99999999999999999999999".to_owned(),
        "{".repeat(40) + &"}".repeat(40),
        "@matches_0(a)".to_owned(),
        "Msg{a: 1}".to_owned(),
    ] {
        let _ = Expression::compile(&source, Over::Rows);
        let _ = Expression::compile(&source, Over::Records);
    }
    let nested = format!("{}a{}", "(".repeat(47), ")".repeat(47));
    assert!(Expression::new(&nested, &names(&["a"])).is_ok());
    let chain = format!("a{}", " + a".repeat(200));
    assert!(Expression::new(&chain, &names(&["a"])).is_ok());
}

/// Sources of expressions of each type, to any depth.
fn sources() -> impl Strategy<Value = String> {
    let double = prop_oneof![
        Just("double(a)".to_owned()),
        Just("double(b)".to_owned()),
        Just("1.5".to_owned()),
        Just("100.0".to_owned()),
        Just("double(int(a))".to_owned()),
    ];
    let double = double.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/"]), inner.clone())
                .prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            (inner.clone(), -2i64..6).prop_map(|(x, n)| format!("round({x}, {n})")),
            (prop::sample::select(vec!["floor", "ceil", "abs", "round", "-"]), inner.clone())
                .prop_map(|(f, x)| format!("{f}({x})")),
            (prop::sample::select(vec!["min", "max"]), inner.clone(), inner.clone())
                .prop_map(|(f, x, y)| format!("{f}({x}, {y})")),
            (inner.clone(), inner.clone()).prop_map(|(x, y)| format!("(a == '' ? {x} : {y})")),
        ]
    });
    let int = prop_oneof![
        Just("int(a)".to_owned()),
        Just("int(b)".to_owned()),
        Just("7".to_owned()),
        Just("size(a)".to_owned()),
        Just("int(double(a))".to_owned()),
        Just("9223372036854775807".to_owned()),
    ];
    let int = int.prop_recursive(3, 10, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), inner.clone())
                .prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            inner.clone().prop_map(|x| format!("abs(-({x}))")),
        ]
    });
    let compare = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let either = prop_oneof![double.clone(), int.clone()];
    let condition = prop_oneof![
        (either.clone(), compare.clone(), either.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
        (compare, prop::sample::select(vec!["a", "b", "'x'", "a + b", "string(int(a))"]))
            .prop_map(|(o, r)| format!("(a {o} {r})")),
        Just("a in ['1', 'x', '']".to_owned()),
        Just("int(a) in [1, 2]".to_owned()),
        Just("a.startsWith(b)".to_owned()),
        Just("a.endsWith('1')".to_owned()),
        Just("a.contains(b)".to_owned()),
        Just("a.matches('^[0-9]+$')".to_owned()),
        Just("bool(a)".to_owned()),
    ];
    let condition = condition.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["&&", "||"]), inner.clone())
                .prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            inner.clone().prop_map(|x| format!("!({x})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, x, y)| format!("({c} ? {x} : {y})")),
        ]
    });
    prop_oneof![either, condition]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_tree_and_the_interpreter_agree(
        source in sources(),
        cells in prop::collection::vec(("([0-9]{1,3}|-?[0-9]{1,4}\\.[0-9]{1,3}|x|true|inf|nan|1e300|-9223372036854775808|é|)", "(0|1|2.5|x||9223372036854775807)"), 12),
    ) {
        // Some are refused, as constants that have no value.
        if let Ok(expression) = Expression::new(&source, &names(&["a", "b"])) {
            prop_assert!(expression.code.typed.is_some(), "{}", source);
            for (a, b) in &cells {
                let cells = [a.as_str(), b.as_str()];
                let cells = &cells[..];
                let tree = text(expression.eval_row(&cells));
                let slow = text(interpret::row(&expression.code, &expression.columns, &expression.all, &cells));
                prop_assert_eq!(tree, slow, "{} of {:?}", source, cells);
            }
        }
    }
}
