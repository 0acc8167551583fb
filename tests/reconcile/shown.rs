//! Where a comparison is seen: the metrics.

use super::{Pair, created, updated};

#[tokio::test]
async fn the_metrics_tell_the_last_one() {
    let pair = Pair::start(&[]).await;
    let value = async |line: &str| {
        let page = pair.server.get("/metrics").await.text;
        page.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse::<f64>().ok())
    };
    assert_eq!(value("rollbook_sync_drift").await, None);
    pair.lose(&created("user_Ann", "Ann"));
    let walked = pair.walk(false).await;
    assert_eq!(value("rollbook_sync_drift").await, Some(1.0), "the first one fills the roll");
    pair.lose(&updated("user_Ann", 5, "Anna"));
    pair.lose(&created("user_Bo", "Bo"));
    pair.walk(true).await;
    assert_eq!(value("rollbook_sync_drift").await, Some(1.0), "a dry one leaves everything as it is");
    let then = value("rollbook_sync_last_success_timestamp_seconds").await.unwrap();
    let ended = std::time::Duration::from_millis(walked.ended_at.as_millis().unsigned_abs());
    assert!((then - ended.as_secs_f64()).abs() < 0.01);
    pair.walk(false).await;
    assert_eq!(value("rollbook_sync_drift").await, Some(2.0));
    for (outcome, count) in [("created", 1.0), ("updated", 1.0), ("deleted", 0.0), ("failed", 0.0), ("apart", 0.0)] {
        let line = format!("rollbook_sync_users{{outcome=\"{outcome}\"}}");
        assert_eq!(value(&line).await, Some(count), "{line}");
    }
}
