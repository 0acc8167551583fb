//! Measurements in the form that the prometheus package writes out: each name once, with its help, its type and a line
//! for each set of labels.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::histogram::Histogram;

/// What is measured, in the order in which it is written.
#[derive(Debug, Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    /// How much of something there is.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.push(name, help, MetricType::GAUGE, vec![gauge(value)]);
    }

    /// The same by a label.
    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let of = |(word, value): (&str, f64)| labelled(gauge(value), &[(label, word)]);
        self.push(name, help, MetricType::GAUGE, values.into_iter().map(of).collect());
    }

    /// What may not be known: then nothing stands there.
    pub(super) fn maybe_gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.push(name, help, MetricType::GAUGE, value.into_iter().map(gauge).collect());
    }

    /// A constant 1 with labels that say something.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) {
        self.push(name, help, MetricType::GAUGE, vec![labelled(gauge(1.0), labels)]);
    }

    /// How often something happened.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.push(name, help, MetricType::COUNTER, vec![counter(value)]);
    }

    /// The same by labels, whose names are `labels`.
    pub(super) fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = ([&'a str; N], u64)>,
    ) {
        let of = |(words, value): ([&'a str; N], u64)| labelled(counter(value), &pairs(labels, words));
        self.push(name, help, MetricType::COUNTER, values.into_iter().map(of).collect());
    }

    /// How large things were. So many of what the histogram counts, `per_unit`, make one of the name's unit.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, per_unit: f64) {
        self.push(name, help, MetricType::HISTOGRAM, vec![distribution(histogram, per_unit)]);
    }

    /// The same by a label.
    pub(super) fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, &'a Histogram)>,
        per_unit: f64,
    ) {
        let of = |(word, histogram): (&str, &Histogram)| labelled(distribution(histogram, per_unit), &[(label, word)]);
        self.push(name, help, MetricType::HISTOGRAM, values.into_iter().map(of).collect());
    }

    /// All of it as text.
    ///
    /// # Errors
    /// When a name cannot be one.
    pub(super) fn write(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.0)
    }

    fn push(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // A name without a value is not written: the format has no place for it.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

/// A count as Prometheus has it: beyond 2^53 the last digits go.
#[expect(clippy::cast_precision_loss, reason = "all numbers of the format are floating-point")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    Metric::from_gauge(gauge)
}

fn counter(value: u64) -> Metric {
    let (mut counter, mut metric) = (Counter::default(), Metric::default());
    counter.set_value(number(value));
    metric.set_counter(counter);
    metric
}

fn distribution(histogram: &Histogram, per_unit: f64) -> Metric {
    let buckets = histogram.up_to().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(number(bound) / per_unit);
        bucket.set_cumulative_count(count);
        bucket
    });
    let (mut out, mut metric) = (prometheus::proto::Histogram::default(), Metric::default());
    out.set_bucket(buckets.collect());
    out.set_sample_count(histogram.count());
    out.set_sample_sum(number(histogram.sum()) / per_unit);
    metric.set_histogram(out);
    metric
}

fn pairs<'a, const N: usize>(names: [&'a str; N], words: [&'a str; N]) -> Vec<(&'a str, &'a str)> {
    names.into_iter().zip(words).collect()
}

fn labelled(mut metric: Metric, labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    metric
}
