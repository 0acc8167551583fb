//! Charts as the templates draw them: shapes in SVG whose units stretch with the page, words beside them as text.

use super::view::number;
use super::when::When;

/// How high a plot is, in its own units.
const HEIGHT: u32 = 100;

/// How wide the place of one value is, and the gap on each side of its bar.
const STEP: u32 = 10;
const GAP: u32 = 1;

/// Values that share their times.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// What they are, for people.
    pub(super) label: &'static str,
    /// The class by which the style sheet colours them.
    pub(super) class: &'static str,
    /// One for each time.
    pub(super) values: Vec<u64>,
}

/// Bars, one for each time, in parts that stand on each other.
#[derive(Debug)]
pub(super) struct Bars {
    pub(super) plot: Plot,
    pub(super) columns: Vec<Bar>,
    /// What the parts are, with their sums: the legend.
    pub(super) keys: Vec<Key>,
    /// The same as a table, the newest time first, less the times without anything.
    pub(super) rows: Vec<Line>,
}

/// A value that goes on from time to time.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) plot: Plot,
    /// The corners, as `points` of an SVG polyline.
    pub(super) points: String,
    /// The same as a table, the newest time first, each once that it changed.
    pub(super) rows: Vec<Line>,
}

impl Bars {
    /// What the columns of the table are called.
    pub(super) fn heads(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.label).collect()
    }
}

/// What every chart has.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The horizontal lines, from the top down.
    pub(super) grid: Vec<Rule>,
    /// Words under the plot, evenly from its beginning to its end.
    pub(super) times: Vec<When>,
    /// The chart in a sentence.
    pub(super) summary: String,
}

/// A horizontal line.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) y: u32,
    pub(super) label: String,
}

/// One bar.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) x: u32,
    pub(super) width: u32,
    pub(super) parts: Vec<Part>,
    /// What it says in words.
    pub(super) title: String,
}

/// A part of a bar.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) y: String,
    pub(super) height: String,
}

/// An entry of the legend.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) class: &'static str,
    pub(super) label: &'static str,
    pub(super) total: String,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: When,
    pub(super) values: Vec<String>,
}

/// A chart of these series, which have a value for each of `times`; `what` is what is counted, one of it
/// and several.
pub(super) fn bars((one, many): (&str, &str), times: &[When], series: &[Series]) -> Bars {
    let at = |place: usize| series.iter().map(move |series| series.values.get(place).copied().unwrap_or_default());
    let sums: Vec<u64> = (0..times.len()).map(|place| at(place).sum()).collect();
    let scale = Scale::to(0, sums.iter().copied().max().unwrap_or_default());
    let keys: Vec<Key> = series.iter().map(Key::of).collect();
    let columns = times.iter().enumerate().filter(|(place, _)| sums.get(*place).is_some_and(|sum| *sum > 0));
    let columns = columns.map(|(place, when)| Bar::new(place, when, series, &scale)).collect();
    let counted = |(place, when): (usize, &When)| Line { at: when.clone(), values: at(place).map(number).collect() };
    let rows = times.iter().enumerate().rev().filter(|(place, _)| sums.get(*place).is_some_and(|sum| *sum > 0));
    let rows = rows.map(counted).collect();
    let named = series.iter().zip(&keys).filter(|(series, _)| series.values.iter().any(|value| *value > 0));
    let named: Vec<String> = named.map(|(_, key)| format!("{} {}", key.total, key.label.to_lowercase())).collect();
    let summary = match (times.first(), &named[..]) {
        (None, _) | (_, []) => format!("No {many} yet."),
        (Some(first), named) => {
            let sum = sums.iter().sum();
            let what = if sum == 1 { one } else { many };
            format!("{} {what} since {}: {}.", number(sum), first.words, named.join(", "))
        }
    };
    Bars { plot: Plot::new(times, &scale, summary), columns, keys, rows }
}

/// A chart of one value, which may not be known for the first of `times`.
pub(super) fn curve(what: &str, times: &[When], values: &[Option<u64>]) -> Option<Curve> {
    let known: Vec<(usize, u64)> =
        values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?))).collect();
    let (&(_, before), &(_, now)) = (known.first()?, known.last()?);
    let least = known.iter().map(|(_, value)| *value).min()?;
    let most = known.iter().map(|(_, value)| *value).max()?;
    let scale = Scale::to(least, most);
    let corner = |(place, value): &(usize, u64)| format!("{},{}", middle(*place), scale.y(*value));
    // One value alone is drawn as long as its place is wide.
    let points: Vec<String> = match &known[..] {
        [(place, value)] => {
            let x = u32::try_from(*place).unwrap_or_default() * STEP;
            vec![format!("{x},{}", scale.y(*value)), format!("{},{}", x + STEP, scale.y(*value))]
        }
        known => known.iter().map(corner).collect(),
    };
    let changed = known.iter().enumerate().filter(|(nth, (_, value))| {
        nth.checked_sub(1).and_then(|before| known.get(before)).is_none_or(|(_, before)| before != value)
    });
    let mut rows: Vec<Line> = changed
        .filter_map(|(_, (place, value))| Some(Line { at: times.get(*place)?.clone(), values: vec![number(*value)] }))
        .collect();
    rows.reverse();
    let first = known.first().and_then(|(place, _)| times.get(*place)).map_or("", |when| when.words.as_str());
    let summary = format!("{what}: {} on {first}, {} now.", number(before), number(now));
    Some(Curve { plot: Plot::new(times, &scale, summary), points: points.join(" "), rows })
}

fn middle(place: usize) -> u32 {
    u32::try_from(place).unwrap_or_default() * STEP + STEP / 2
}

/// Which values the bottom and the top of a plot stand for.
struct Scale {
    bottom: u64,
    top: u64,
}

impl Scale {
    /// One that goes up to `most` at least, by steps that people count in; from zero unless all values are far from it.
    fn to(least: u64, most: u64) -> Self {
        let bottom = if least > most / 2 && most - least < most / 4 { least } else { 0 };
        let span = (most - bottom).max(1);
        let steps = (0..19).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10_u64.pow(zeros)));
        // Two steps: the line in the middle stands for a whole number too.
        let step = steps.into_iter().find(|step| {
            let bottom = bottom / step * step;
            bottom + 2 * step >= bottom + span && bottom + 2 * step >= most
        });
        let step = step.unwrap_or(span);
        let bottom = bottom / step * step;
        Self { bottom, top: bottom + 2 * step }
    }

    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    fn share(&self, value: u64) -> f64 {
        value.saturating_sub(self.bottom) as f64 / (self.top - self.bottom).max(1) as f64 * f64::from(HEIGHT)
    }

    fn y(&self, value: u64) -> String {
        units(f64::from(HEIGHT) - self.share(value))
    }

    fn grid(&self) -> Vec<Rule> {
        let half = self.bottom + (self.top - self.bottom) / 2;
        let rule = |(y, value)| Rule { y, label: number(value) };
        [(0, self.top), (HEIGHT / 2, half), (HEIGHT, self.bottom)].map(rule).into()
    }
}

/// A length in a plot: no browser shows more than two places of it.
fn units(length: f64) -> String {
    let text = format!("{length:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Plot {
    fn new(times: &[When], scale: &Scale, summary: String) -> Self {
        let last = times.len().saturating_sub(1);
        let marks = [0, last / 3, last * 2 / 3, last];
        Self {
            width: u32::try_from(times.len()).unwrap_or_default() * STEP,
            height: HEIGHT,
            grid: scale.grid(),
            times: marks.iter().filter_map(|place| times.get(*place).cloned()).collect(),
            summary,
        }
    }
}

impl Bar {
    fn new(place: usize, when: &When, series: &[Series], scale: &Scale) -> Self {
        let (mut parts, mut words, mut below) = (Vec::new(), Vec::new(), 0);
        for series in series {
            let value = series.values.get(place).copied().unwrap_or_default();
            if value == 0 {
                continue;
            }
            let (from, to) = (scale.share(below), scale.share(below + value));
            parts.push(Part { class: series.class, y: units(f64::from(HEIGHT) - to), height: units(to - from) });
            words.push(format!("{} {}", number(value), series.label.to_lowercase()));
            below += value;
        }
        let x = u32::try_from(place).unwrap_or_default() * STEP + GAP;
        Self { x, width: STEP - 2 * GAP, parts, title: format!("{}: {}", when.words, words.join(", ")) }
    }
}

impl Key {
    fn of(series: &Series) -> Self {
        Self { class: series.class, label: series.label, total: number(series.values.iter().sum()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::Timestamp;

    const WHAT: (&str, &str) = ("delivery", "deliveries");

    fn times(count: i64) -> Vec<When> {
        let at = |hour| Timestamp::from_millis(1_716_883_200_000 + hour * 3_600_000);
        (0..count).map(|hour| When::minute(at(hour))).collect()
    }

    #[test]
    fn a_scale_ends_at_a_number_that_people_count_to() {
        let ends = |least, most| {
            let scale = Scale::to(least, most);
            assert!(scale.bottom <= least && scale.top >= most, "{least} {most}");
            (scale.bottom, scale.top)
        };
        assert_eq!(ends(0, 0), (0, 2));
        assert_eq!(ends(0, 3), (0, 4));
        assert_eq!(ends(0, 7), (0, 10));
        assert_eq!(ends(0, 21), (0, 40));
        assert_eq!(ends(500, 1_000), (0, 1_000));
        assert_eq!(ends(1_000_000, 1_000_013), (1_000_000, 1_000_020));
        assert_eq!(ends(999_999, 1_000_013), (999_980, 1_000_020));
        for most in 0..5_000 {
            ends(most / 3, most);
            ends(most.saturating_sub(3), most);
        }
        ends(0, 1 << 53);
    }

    #[test]
    fn bars_stand_on_each_other_and_say_so() {
        let series = [
            Series { label: "Applied", class: "good", values: vec![3, 0, 1] },
            Series { label: "Quarantined", class: "warn", values: vec![1, 0, 0] },
        ];
        let chart = bars(WHAT, &times(3), &series);
        assert_eq!(chart.plot.summary, "5 deliveries since 28 May 2024, 08:00: 4 applied, 1 quarantined.");
        assert_eq!(chart.columns.len(), 2, "nothing is drawn where nothing was");
        let parts: Vec<_> = chart.columns[0].parts.iter().map(|part| (part.class, &*part.y, &*part.height)).collect();
        assert_eq!(parts, [("good", "25", "75"), ("warn", "0", "25")]);
        assert_eq!(chart.columns[0].title, "28 May 2024, 08:00: 3 applied, 1 quarantined");
        assert_eq!((chart.columns[1].x, chart.plot.width), (21, 30));
        assert_eq!(chart.rows.iter().map(|row| row.values.join("+")).collect::<Vec<_>>(), ["1+0", "3+1"]);
        let single = [Series { label: "Applied", class: "good", values: vec![0, 1] }];
        let summary = bars(WHAT, &times(2), &single).plot.summary;
        assert_eq!(summary, "1 delivery since 28 May 2024, 08:00: 1 applied.");
        let nothing = bars(WHAT, &times(2), &[]);
        assert_eq!((nothing.plot.summary.as_str(), nothing.columns.len()), ("No deliveries yet.", 0));
    }

    #[test]
    fn a_curve_begins_where_something_is_known() {
        assert!(curve("Users", &times(3), &[None; 3]).is_none());
        let chart = curve("Users", &times(4), &[None, Some(1), Some(1), Some(4)]).unwrap();
        assert_eq!(chart.points, "15,75 25,75 35,0");
        assert_eq!(chart.rows.iter().map(|row| &*row.values[0]).collect::<Vec<_>>(), ["4", "1"]);
        assert_eq!(chart.plot.summary, "Users: 1 on 28 May 2024, 09:00, 4 now.");
        assert_eq!(curve("Users", &times(2), &[None, Some(3)]).unwrap().points, "10,25 20,25");
    }
}
