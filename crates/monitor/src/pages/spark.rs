//! A small line over time, as the path of an SVG of 120 by 26.

/// The line through points, each so far across and so high, both from 0 to 1; what lies outside is drawn at the edge.
pub(super) fn line(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut line = String::new();
    for (nth, (across, high)) in points.into_iter().enumerate() {
        let (across, down) = (across.clamp(0.0, 1.0) * 120.0, 24.0 - high.clamp(0.0, 1.0) * 22.0);
        line += &format!("{}{across:.1} {down:.1}", if nth == 0 { 'M' } else { 'L' });
    }
    line
}

/// A number as a part of another.
#[allow(clippy::cast_precision_loss, reason = "a line is no more exact than this")]
pub(super) fn part(of: u64, whole: u64) -> f64 {
    of as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_within_its_drawing() {
        assert_eq!(line([(0.0, 0.0), (0.5, 1.0), (2.0, 7.0)]), "M0.0 24.0L60.0 2.0L120.0 2.0");
        assert_eq!(line([]), "");
        assert_eq!((part(1, 2), part(0, 0)), (0.5, 0.0));
    }
}
