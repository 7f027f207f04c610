//! Reads a query of PromQL as far as its grammar goes: what Prometheus could not read is an error that says where. Types are not checked,
//! but for a range, which only a function takes.

/// Functions that are used here, and whether they take a range first.
const FUNCTIONS: [(&str, bool); 9] = [
    ("absent", false),
    ("changes", true),
    ("deriv", true),
    ("histogram_quantile", false),
    ("increase", true),
    ("max_over_time", true),
    ("predict_linear", true),
    ("rate", true),
    ("clamp_min", false),
];
const AGGREGATIONS: [&str; 4] = ["sum", "min", "max", "count"];
const OPERATORS: [&str; 14] =
    ["==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "and", "or", "unless"];

/// Checks a query.
pub(crate) fn check(query: &str) -> Result<(), String> {
    let mut reader = Reader { rest: query };
    let read = reader.expression().and_then(|range| match (range, reader.peek()) {
        (true, _) => Err("a range that no function takes".to_owned()),
        (false, "") => Ok(()),
        (false, _) => Err("something after its end".to_owned()),
    });
    read.map_err(|why| format!("{why}, at {:?} of {query}", reader.rest.chars().take(30).collect::<String>()))
}

/// Whether this is a length of time, as `1h30m`.
pub(crate) fn is_length(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let units = ["ms", "s", "m", "h", "d", "w", "y"];
        let Some(after) = units.iter().find_map(|known| unit.strip_prefix(known)) else { return false };
        if unit.len() == rest.len() {
            return false;
        }
        rest = after;
    }
    !text.is_empty()
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn takes(&mut self, what: &str) -> bool {
        let after = self.peek().strip_prefix(what);
        // A word is a whole one.
        let word = what.starts_with(|c: char| c.is_ascii_alphabetic());
        let after = after.filter(|after| !(word && after.starts_with(is_word)));
        after.is_some_and(|after| {
            self.rest = after;
            true
        })
    }

    fn needs(&mut self, what: &str) -> Result<(), String> {
        if self.takes(what) { Ok(()) } else { Err(format!("no {what:?}")) }
    }

    fn word(&mut self) -> Option<&'a str> {
        let text = self.peek();
        let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
        let word = &text[..end];
        let fine = word.starts_with(|c: char| !c.is_ascii_digit());
        fine.then(|| {
            self.rest = &text[end..];
            word
        })
    }

    /// Operands and operators; whether it is a range.
    fn expression(&mut self) -> Result<bool, String> {
        let range = self.operand()?;
        if !OPERATORS.iter().any(|operator| self.takes(operator)) {
            return Ok(range);
        }
        self.takes("bool");
        if self.takes("on") || self.takes("ignoring") {
            self.labels()?;
            let grouped = self.takes("group_left") || self.takes("group_right");
            if grouped && self.peek().starts_with('(') {
                self.labels()?;
            }
        }
        match range || self.expression()? {
            true => Err("an operator on a range".to_owned()),
            false => Ok(false),
        }
    }

    fn operand(&mut self) -> Result<bool, String> {
        if self.takes("(") {
            let range = self.expression()?;
            self.needs(")")?;
            return Ok(range);
        }
        if self.peek().starts_with(|c: char| c.is_ascii_digit()) {
            let text = self.peek();
            let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            self.rest = &text[end..];
            return text[..end].parse::<f64>().map(|_| false).map_err(|e| e.to_string());
        }
        if self.peek().starts_with('{') {
            return self.selector();
        }
        let word = self.word().ok_or("no operand")?;
        if AGGREGATIONS.contains(&word) {
            let before = self.grouping()?;
            self.needs("(")?;
            let range = self.expression()?;
            self.needs(")")?;
            let grouped_twice = self.grouping()? && before;
            return if range || grouped_twice {
                Err(format!("{word} of a range, or grouped twice"))
            } else {
                Ok(false)
            };
        }
        if self.takes("(") {
            return self.call(word);
        }
        self.selector()
    }

    fn call(&mut self, name: &str) -> Result<bool, String> {
        let known = FUNCTIONS.iter().find(|(known, _)| *known == name);
        let (_, wants_range) = known.ok_or_else(|| format!("{name} is no function that is used here"))?;
        let mut ranges = self.expression()?;
        while self.takes(",") {
            ranges |= self.expression()?;
        }
        self.needs(")")?;
        if ranges == *wants_range {
            Ok(false)
        } else {
            Err(format!("{name} wants a range, or has one too many"))
        }
    }

    fn grouping(&mut self) -> Result<bool, String> {
        if !(self.takes("by") || self.takes("without")) {
            return Ok(false);
        }
        self.labels().map(|()| true)
    }

    fn labels(&mut self) -> Result<(), String> {
        self.needs("(")?;
        while !self.takes(")") {
            self.word().ok_or("no label")?;
            if !self.takes(",") && !self.peek().starts_with(')') {
                return Err("no comma between labels".to_owned());
            }
        }
        Ok(())
    }

    /// Matchers and a range, behind a name.
    fn selector(&mut self) -> Result<bool, String> {
        if self.takes("{") {
            while !self.takes("}") {
                self.word().ok_or("no label")?;
                let operator = ["=~", "!~", "!=", "="].iter().any(|operator| self.takes(operator));
                let text = self.peek().strip_prefix('"').filter(|_| operator).ok_or("no matcher")?;
                let (_, after) = text.split_once('"').ok_or("a text without its end")?;
                self.rest = after;
                if !self.takes(",") && !self.peek().starts_with('}') {
                    return Err("no comma between matchers".to_owned());
                }
            }
        }
        if !self.takes("[") {
            return Ok(false);
        }
        let (length, after) = self.rest.split_once(']').ok_or("a range without its end")?;
        self.rest = after;
        // Grafana puts a length there.
        if is_length(length) || length == "$__rate_interval" {
            Ok(true)
        } else {
            Err(format!("{length:?} is no length"))
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[test]
fn what_prometheus_could_not_read_is_refused() {
    for good in [
        "up{job=\"a\"} == 0",
        "sum by (a, b) (rate(x_total{a=~\"b|c\", d!=\"\"}[5m])) / on (a) group_left (b) max(y) by (a) > 0.05",
        "histogram_quantile(0.9, max by (le) (rate(x_bucket[1h30m]))) and (x > 3 * 2)",
        "absent(up)",
    ] {
        check(good).unwrap();
    }
    for wrong in [
        "",
        "up{job=\"a\"} ==",
        "sum by (a (x)",
        "sum by (a) (x",
        "x[5m]",
        "rate(x)",
        "rate(x[5])",
        "rat(x[5m])",
        "up{job=a}",
        "up{job=\"a\" b=\"c\"}",
        "x y",
        "sum(x[5m])",
        "x > 3)",
        "max_over_time(x[2m] > 0)",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
