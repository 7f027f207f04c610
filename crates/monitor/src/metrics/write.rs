//! Families of samples, and the two texts that they are written as: Prometheus's, version 0.0.4, and OpenMetrics 1.0.
//!
//! They differ in little: OpenMetrics names a counter's family without `_total`, and ends with `# EOF`. Label values are escaped;
//! names are this code's own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How the text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// The one that a client asks for by its `Accept`: OpenMetrics where that is named and not refused, else Prometheus.
    pub fn accepted(accept: &str) -> Self {
        let asks = accept.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            let is_it =
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            is_it && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
        });
        if asks { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub(crate) labels: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) value: f64,
    /// Of a histogram: how many lie within each bound, not added up, and the sum.
    histogram: Option<Histogram>,
}

#[derive(Debug, Clone, PartialEq)]
struct Histogram {
    /// In seconds; the last has no end.
    bounds: Vec<f64>,
    buckets: Vec<u64>,
    sum: f64,
}

impl Sample {
    /// A value without labels.
    pub fn new(value: f64) -> Self {
        Self { labels: Vec::new(), value, histogram: None }
    }

    /// A count. Above 2^53 it is rounded, as everything that reads it does.
    pub fn count(count: u64) -> Self {
        Self::new(count as f64)
    }

    /// A histogram of times: bounds in microseconds, how many lie within each and not within the one before, and, last, how many
    /// took longer; and their sum, in microseconds.
    pub fn histogram(bounds_micros: &[u64], buckets: &[u64], sum_micros: u64) -> Self {
        let bounds = bounds_micros.iter().map(|bound| *bound as f64 / 1e6).collect();
        let sum = sum_micros as f64 / 1e6;
        Self { histogram: Some(Histogram { bounds, buckets: buckets.to_vec(), sum }), ..Self::new(0.0) }
    }

    /// The same with one more label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Samples of one name.
#[derive(Debug, Clone)]
pub struct Family {
    /// Of a counter without `_total`.
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<Sample>,
}

/// All that a scrape says, in its order.
#[derive(Debug, Default)]
pub struct Families(Vec<Family>);

impl Families {
    /// A counter; its name is given without `_total`, which is written behind it.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.add(name, help, Kind::Counter, samples);
    }

    /// A gauge.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.add(name, help, Kind::Gauge, samples);
    }

    /// A histogram.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.add(name, help, Kind::Histogram, samples);
    }

    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        samples: impl IntoIterator<Item = Sample>,
    ) {
        self.0.push(Family { name, help, kind, samples: samples.into_iter().collect() });
    }

    /// The text.
    pub fn write(&self, format: Format) -> String {
        let mut text = String::with_capacity(16 * 1024);
        for family in &self.0 {
            family.write(&mut text, format);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

impl Family {
    fn write(&self, text: &mut String, format: Format) {
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        let shown = if format == Format::OpenMetrics { "" } else { total };
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let name = self.name;
        // Writing into a text cannot fail.
        let _ = writeln!(text, "# HELP {name}{shown} {}", self.help);
        let _ = writeln!(text, "# TYPE {name}{shown} {kind}");
        for sample in &self.samples {
            match &sample.histogram {
                Some(histogram) => histogram.write(text, name, &sample.labels),
                None => line(text, (name, total), &sample.labels, None, sample.value),
            }
        }
    }
}

impl Histogram {
    fn write(&self, text: &mut String, name: &str, labels: &[(&'static str, Cow<'static, str>)]) {
        let mut below = 0;
        let bounds = self.bounds.iter().map(|bound| number(*bound)).chain(std::iter::once("+Inf".to_owned()));
        for (bound, here) in bounds.zip(&self.buckets) {
            below += here;
            line(text, (name, "_bucket"), labels, Some(&bound), below as f64);
        }
        line(text, (name, "_sum"), labels, None, self.sum);
        line(text, (name, "_count"), labels, None, below as f64);
    }
}

fn line(
    text: &mut String,
    (name, suffix): (&str, &str),
    labels: &[(&'static str, Cow<'static, str>)],
    bound: Option<&str>,
    value: f64,
) {
    text.push_str(name);
    text.push_str(suffix);
    let all = labels.iter().map(|(name, value)| (*name, value.as_ref()));
    let mut first = true;
    for (name, value) in all.chain(bound.map(|bound| ("le", bound))) {
        text.push(if first { '{' } else { ',' });
        first = false;
        let _ = write!(text, "{name}=\"");
        escape(text, value);
        text.push('"');
    }
    if !first {
        text.push('}');
    }
    let _ = writeln!(text, " {}", number(value));
}

/// Backslashes, quotes and line ends, as both texts have them. Other control characters are nobody's to read.
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
}

/// A number as both texts read it: whole ones below 2^53 without a point or an exponent.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { "NaN".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Families {
        let mut families = Families::default();
        let odd = Sample::count(3).label("app", "a\"b\\c\nd\u{1b}").label("kind", "file");
        families.counter("handover_x", "What is counted.", [odd, Sample::count(9_007_199_254_740_992)]);
        families.gauge("handover_y", "A value.", [Sample::new(0.25)]);
        let took = Sample::histogram(&[1_000, 2_500_000], &[2, 1, 4], 1_500_000).label("app", "a");
        families.histogram("handover_z_seconds", "How long.", [took]);
        families
    }

    #[test]
    fn prometheus_reads_it() {
        let expected = "# HELP handover_x_total What is counted.
# TYPE handover_x_total counter
handover_x_total{app=\"a\\\"b\\\\c\\nd\u{fffd}\",kind=\"file\"} 3
handover_x_total 9007199254740992
# HELP handover_y A value.
# TYPE handover_y gauge
handover_y 0.25
# HELP handover_z_seconds How long.
# TYPE handover_z_seconds histogram
handover_z_seconds_bucket{app=\"a\",le=\"0.001\"} 2
handover_z_seconds_bucket{app=\"a\",le=\"2.5\"} 3
handover_z_seconds_bucket{app=\"a\",le=\"+Inf\"} 7
handover_z_seconds_sum{app=\"a\"} 1.5
handover_z_seconds_count{app=\"a\"} 7
";
        assert_eq!(some().write(Format::Prometheus), expected);
    }

    #[test]
    fn openmetrics_differs_in_names_and_end() {
        let text = some().write(Format::OpenMetrics);
        assert!(
            text.starts_with(
                "# HELP handover_x What is counted.\n# TYPE handover_x counter\nhandover_x_total{"
            )
        );
        assert!(text.ends_with("handover_z_seconds_count{app=\"a\"} 7\n# EOF\n"));
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "text/html,*/*;q=0.8", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::accepted(other), Format::Prometheus, "{other}");
        }
    }
}
