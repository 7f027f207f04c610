//! Reads what /metrics says as strictly as its two specifications have it: Prometheus's text 0.0.4, and OpenMetrics 1.0. What a scraper
//! would refuse, or take for something else, is an error with its line.

use std::collections::{BTreeMap, BTreeSet};

/// Labels with their values.
type Labels = BTreeMap<String, String>;

/// Samples that belong together.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

/// A histogram of some labels: bounds with their counts, and what stands beside them.
#[derive(Debug, Default)]
struct Series {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

/// Reads a scrape.
pub(crate) fn families(text: &str, open: bool) -> Result<BTreeMap<String, Family>, String> {
    let mut found: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let body = match (open, text.strip_suffix("# EOF\n")) {
        (true, None) => return Err("it does not end with # EOF".to_owned()),
        (true, Some(body)) => body,
        (false, _) => text,
    };
    if !body.ends_with('\n') || body.contains('\r') {
        return Err("its lines do not end with a line feed alone".to_owned());
    }
    for line in body.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(told) = line.strip_prefix("# ") {
            let (word, rest) = told.split_once(' ').ok_or_else(|| wrong("no descriptor"))?;
            let (name, said) = rest.split_once(' ').ok_or_else(|| wrong("it says nothing"))?;
            is_name(name, true).map_err(|why| wrong(&why))?;
            if name != current && found.contains_key(name) {
                return Err(wrong("this family was told before"));
            }
            current = name.to_owned();
            let family = found.entry(current.clone()).or_default();
            let slot = match word {
                "TYPE" if ["counter", "gauge", "histogram"].contains(&said) => &mut family.kind,
                "HELP" => &mut family.help,
                _ => return Err(wrong("no descriptor that is known")),
            };
            if !slot.is_empty() || !family.samples.is_empty() {
                return Err(wrong("it is told twice, or after its samples"));
            }
            said.clone_into(slot);
            continue;
        }
        let sample = sample(line).map_err(|why| wrong(&why))?;
        let family = found.get_mut(&current).ok_or_else(|| wrong("of no family"))?;
        if !belongs(&sample.0, &current, &family.kind, open) {
            return Err(wrong("it is not of the family above it"));
        }
        family.samples.push(sample);
    }
    for (name, family) in &found {
        family.whole().map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(found)
}

fn is_name(name: &str, colons: bool) -> Result<(), String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let fine = name.chars().all(inside) && name.starts_with(|c: char| !c.is_ascii_digit());
    if fine { Ok(()) } else { Err(format!("{name:?} is no name")) }
}

fn belongs(sample: &str, family: &str, kind: &str, open: bool) -> bool {
    let Some(end) = sample.strip_prefix(family) else { return false };
    match kind {
        "gauge" => end.is_empty(),
        // OpenMetrics names the family without the end that its samples have.
        "counter" => end == if open { "_total" } else { "" } && sample.ends_with("_total"),
        "histogram" => ["_bucket", "_sum", "_count"].contains(&end),
        _ => false,
    }
}

/// A line as its name, its labels and its value.
fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    is_name(name, true)?;
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            is_name(label, false)?;
            let (value, after) = value(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("the label {label} stands twice"));
            }
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').ok_or("no comma between labels")?;
        }
    }
    let number = rest.strip_prefix(' ').ok_or("no value")?;
    let number: f64 = match number {
        "+Inf" => f64::INFINITY,
        number if number.starts_with(|c: char| c.is_ascii_digit()) => {
            number.parse().map_err(|_| format!("{number:?} is no number"))?
        }
        // None of ours is below nothing.
        number => return Err(format!("{number:?} is no number that is shown")),
    };
    Ok((name.to_owned(), labels, number))
}

/// A label's value to its closing quote, and what follows.
fn value(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => out.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                other => return Err(format!("a backslash before {other:?}")),
            }),
            c => out.push(c),
        }
    }
    Err("a value without its end".to_owned())
}

impl Family {
    fn whole(&self) -> Result<(), String> {
        if self.kind.is_empty() || self.help.is_empty() {
            return Err("it has no type, or no help".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (name, labels, _) in &self.samples {
            if !seen.insert((name, labels)) {
                return Err(format!("{name}{labels:?} stands twice"));
            }
        }
        if self.kind == "histogram" { self.whole_histogram() } else { Ok(()) }
    }

    /// Buckets go up, the last has no bound and is the count, and there is a sum.
    fn whole_histogram(&self) -> Result<(), String> {
        let mut series: BTreeMap<Labels, Series> = BTreeMap::new();
        for (name, labels, value) in &self.samples {
            let mut of = labels.clone();
            let bound = of.remove("le");
            let known = series.entry(of).or_default();
            match (bound, name.ends_with("_sum")) {
                (Some(bound), _) => {
                    known.buckets.push((bound.parse().unwrap_or(f64::NAN), *value));
                }
                (None, true) => known.sum = Some(*value),
                (None, false) => known.count = Some(*value),
            }
        }
        for (labels, Series { buckets, sum, count }) in series {
            let up = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            let last = buckets.last().copied().unwrap_or_default();
            if !up || last.0 != f64::INFINITY || sum.is_none() || count != Some(last.1) {
                return Err(format!("{labels:?}: {buckets:?}, sum {sum:?}, count {count:?}"));
            }
        }
        Ok(())
    }
}

#[test]
fn what_a_scraper_would_refuse_is_refused() {
    let told = "# HELP x_total X.\n# TYPE x_total counter\n";
    let good = format!("{told}x_total{{app=\"a\\\"\\\\\\n\",b=\"\"}} 3\nx_total 0.5\n");
    let read = families(&good, false).unwrap();
    assert_eq!(read["x_total"].samples[0].1["app"], "a\"\\\n");
    assert!(families(&good, true).is_err(), "of OpenMetrics the end is missing");
    let histogram = |buckets: &str| format!("# HELP h H.\n# TYPE h histogram\n{buckets}h_sum 1\nh_count 2\n");
    families(&histogram("h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\n"), false).unwrap();
    let lines = |line: &str| format!("{told}{line}\n");
    for wrong in [
        "x_total 3\n".to_owned(),
        lines("x_total -1"),
        lines("x_total NaN"),
        lines("y_total 3"),
        lines("x_total{app=\"a} 3"),
        lines("x_total{app=\"a\",app=\"b\"} 3"),
        lines("x_total{app=\"a\"b=\"c\"} 3"),
        lines("x_total{app=\"\\t\"} 3"),
        lines("x_total 3\nx_total 4"),
        format!("{told}x_total 3\n# HELP y Y.\n# TYPE y gauge\ny 1\n{told}"),
        "# TYPE x_total counter\nx_total 3\n".to_owned(),
        "# HELP x X.\n# TYPE x counter\nx 3\n".to_owned(),
        histogram("h_bucket{le=\"0.5\"} 1\n"),
        histogram("h_bucket{le=\"0.5\"} 3\nh_bucket{le=\"+Inf\"} 2\n"),
        good.trim_end().to_owned(),
    ] {
        assert!(families(&wrong, false).is_err(), "{wrong}");
    }
}
