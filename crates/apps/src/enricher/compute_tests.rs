use super::compute::{Calculator, Cells};
use std::collections::HashMap;

fn evaluate(source: &str, row: &[(&str, &str)]) -> Result<String, String> {
    let calculator = Calculator::new().unwrap();
    let computed = calculator.compile("new", source).map_err(|error| error.to_string())?;
    let columns: HashMap<String, usize> =
        row.iter().enumerate().map(|(i, (name, _))| ((*name).to_owned(), i)).collect();
    let cells: Vec<String> = row.iter().map(|(_, cell)| (*cell).to_owned()).collect();
    calculator.evaluate(&computed, &Cells { columns: &columns, cells: &cells })
}

#[test]
fn expressions_over_a_row() {
    let row = [
        ("quantity", "3"),
        ("price", "2.50"),
        ("name", "Ada"),
        ("unit price", "7"),
        ("at", "2013-01-01T10:00:00Z"),
        ("empty", ""),
    ];
    for (source, expected) in [
        ("round(double(quantity) * double(price), 2)", "7.5"),
        ("double(quantity)", "3"),
        ("int(quantity) + 1", "4"),
        ("1.0 / 3.0", "0.3333333333333333"),
        ("1e21", "1e21"),
        ("1e20", "100000000000000000000"),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("-0.0", "0"),
        ("round(2.5)", "2"),
        ("round(3.5)", "4"),
        ("round(2.675, 2)", "2.67"),
        ("round(1234.5, -2)", "1200"),
        ("round(double('1400') * 1.609344, 1)", "2253.1"),
        ("floor(2.7)", "2"),
        ("ceil(2.1)", "3"),
        ("abs(-5)", "5"),
        ("abs(-5.5)", "5.5"),
        ("min(3, 1, 2)", "1"),
        ("max([1.5, 2.5])", "2.5"),
        ("name + '!'", "Ada!"),
        ("name.lowerAscii()", "ada"),
        ("name.size()", "3"),
        ("name.startsWith('A') ? 'yes' : 'no'", "yes"),
        ("name.matches('^A')", "true"),
        ("row['unit price']", "7"),
        ("timestamp(at)", "2013-01-01T10:00:00Z"),
        ("timestamp(at).getHours()", "10"),
        ("timestamp(at) + duration('1h')", "2013-01-01T11:00:00Z"),
        ("empty == '' ? '' : string(double(empty) * 2.0)", ""),
        ("['a', 'b'].exists(x, x == name)", "false"),
        ("null", ""),
        ("math.round(2.5)", "3"),
    ] {
        assert_eq!(evaluate(source, &row).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn an_error_of_a_row_is_said() {
    let row = [("a", "NA"), ("b", "0")];
    for (source, why) in [
        ("double(a)", "double(): string parse error"),
        ("int(a) + 1", "int()"),
        ("1.0 / double(b)", "not a finite number"),
        ("1 / int(b)", "division by zero"),
        ("[a]", "a list"),
        ("{a: b}", "a map"),
        ("row['c']", "c"),
        ("timestamp(a)", "timestamp"),
        ("9223372036854775807 + int(b) + 1", "too large"),
    ] {
        let error = evaluate(source, &row).unwrap_err();
        assert!(error.contains(why), "{source}: {error}");
    }
}

#[test]
fn a_wrong_expression_is_found_before_the_first_row() {
    let calculator = Calculator::new().unwrap();
    for (source, why) in [
        ("1 +", "cannot be read"),
        ("", "cannot be read"),
        ("rond(double(a))", "rond is not known"),
        ("a * b", "text and text do not go together"),
        ("double(a) * b", "do not go together"),
        ("1400 * 1.5", "an integer and a double do not go together"),
        ("a > 5", "> does not take (string, int)"),
    ] {
        let error = calculator.compile("new", source).unwrap_err();
        assert!(error.to_string().contains(why), "{source}: {error}");
    }
}

#[test]
fn the_columns_of_an_expression_are_known() {
    let calculator = Calculator::new().unwrap();
    let uses = |source: &str| calculator.compile("new", source).unwrap().uses;
    assert_eq!(uses("double(a) + double(b) + double(a)"), ["a", "b"]);
    assert_eq!(uses("[a].map(x, x + b).size()"), ["a", "b"]);
    assert_eq!(uses("type(a) == string"), ["a"]);
    assert!(uses("math.abs(1) + 1").is_empty());
    assert!(calculator.compile("new", "row['x y'] + a").unwrap().uses_row);
}
