//! One look at everything that is measured. It reads what is in memory, and locks nothing for longer than a copy takes.

use std::fs;
use std::sync::atomic::Ordering;

use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;
use warp::reply::Response;

use super::super::App;
use super::super::problem::{Kind, Problem};
use super::families::{Families, number};
use super::{Metrics, lock};
use crate::clock::Timestamp;
use crate::forward::Status;
use crate::sync::Report;

/// Durations are counted in microseconds, so many to the second.
const MICROSECONDS: f64 = 1e6;

/// The page that Prometheus reads.
///
/// # Errors
/// 500 when it cannot be written, which no name of ours makes it.
pub(super) fn answer(app: &App) -> Result<Response, Problem> {
    let mut page = Families::default();
    process(&mut page, app);
    webhooks(&mut page, &app.metrics);
    roll(&mut page, app);
    sync(&mut page, app);
    log(&mut page, app);
    store(&mut page, app);
    backups(&mut page, app);
    keys(&mut page, app);
    targets(&mut page, &app.forwarder.all());
    tls(&mut page, app);
    requests(&mut page, app);
    let text = page
        .write()
        .map_err(|cause| Problem::new(Kind::Internal, "Something went wrong on our side.").because(cause))?;
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
    Ok(response)
}

fn process(page: &mut Families, app: &App) {
    page.info("rollbook_build_info", "The version that runs.", &[("version", env!("CARGO_PKG_VERSION"))]);
    page.gauge(
        "process_start_time_seconds",
        "When the server started, in seconds since 1970.",
        seconds(app.started_at),
    );
    page.maybe_gauge("process_resident_memory_bytes", "Memory in use.", resident_memory().map(number));
}

fn webhooks(page: &mut Families, metrics: &Metrics) {
    let deliveries = lock(&metrics.deliveries);
    page.counters(
        "rollbook_webhook_deliveries_total",
        "Webhooks by what became of them: an outcome, or why they were not taken.",
        ["outcome"],
        deliveries.ended.iter().map(|(outcome, count)| ([*outcome], *count)),
    );
    page.histogram(
        "rollbook_webhook_duration_seconds",
        "From the last byte of a webhook that was taken to its answer.",
        &deliveries.took,
        MICROSECONDS,
    );
}

fn roll(page: &mut Families, app: &App) {
    let counts = app.store.counts();
    page.gauge("rollbook_users", "Users on the roll.", number(counts.users));
    page.gauge("rollbook_users_deleted", "Deleted users whose record is kept.", number(counts.deleted));
    page.gauge("rollbook_quarantined_deliveries", "Webhooks in quarantine.", number(counts.quarantined));
    page.maybe_gauge(
        "rollbook_last_event_timestamp_seconds",
        "When the last verified webhook came, in seconds since 1970.",
        counts.last_event_at.map(seconds),
    );
}

/// What the last comparison with Clerk's users came to; nothing until there was one. Reading it is one look into the file.
fn sync(page: &mut Families, app: &App) {
    let Ok(Some(walked)) = app.store.last_walk() else { return };
    let Report { created, updated, deleted, unchanged, failed, apart, .. } = walked.report;
    page.gauge(
        "rollbook_sync_drift",
        "Users who differed from Clerk's at the last comparison.",
        number(walked.drift()),
    );
    page.gauge(
        "rollbook_sync_last_success_timestamp_seconds",
        "When the last comparison came to its end, in seconds since 1970.",
        seconds(walked.ended_at),
    );
    let outcomes = [
        ("created", created),
        ("updated", updated),
        ("deleted", deleted),
        ("unchanged", unchanged),
        ("failed", failed),
        ("apart", apart),
    ];
    page.gauges(
        "rollbook_sync_users",
        "Users by what the last comparison found of them.",
        "outcome",
        outcomes.into_iter().map(|(outcome, count)| (outcome, number(count))),
    );
}

fn log(page: &mut Families, app: &App) {
    let published = app.notary.published();
    page.gauge("rollbook_log_entries", "Entries in the log.", number(app.store.counts().entries));
    page.gauge("rollbook_log_in_doubt", "1 while something speaks against the log.", flag(app.store.doubt().is_some()));
    page.maybe_gauge(
        "rollbook_checkpoint_entries",
        "Entries under the newest checkpoint.",
        published.as_ref().map(|published| number(published.checkpoint.size)),
    );
    page.maybe_gauge(
        "rollbook_checkpoint_timestamp_seconds",
        "When the newest checkpoint was signed, in seconds since 1970.",
        published.and_then(|published| published.signed_at).map(seconds),
    );
}

fn store(page: &mut Families, app: &App) {
    let figures = app.store.figures();
    page.gauge("rollbook_store_ready", "1 while writes are taken.", flag(app.store.is_ready()));
    // The system knows this without asking the disk: the file is open.
    let bytes = fs::metadata(app.store.path()).ok().map(|meta| number(meta.len()));
    page.maybe_gauge("rollbook_data_file_bytes", "Size of the data file.", bytes);
    page.histogram("rollbook_commit_operations", "Operations in each transaction.", &figures.batches, 1.0);
    page.histogram(
        "rollbook_commit_duration_seconds",
        "From the beginning of a transaction to its end on the disk.",
        &figures.commits,
        MICROSECONDS,
    );
    let waiting = u64::try_from(figures.waiting).unwrap_or(u64::MAX);
    page.gauge("rollbook_write_queue_length", "Operations that wait for the writer.", number(waiting));
}

fn backups(page: &mut Families, app: &App) {
    page.maybe_gauge(
        "rollbook_backup_last_success_timestamp_seconds",
        "When the newest backup in the folder of the settings was begun, in seconds since 1970.",
        app.backups.newest().map(seconds),
    );
    page.counter(
        "rollbook_backup_failures_total",
        "Backups that came to nothing, since the start.",
        app.backups.failures(),
    );
    page.gauge("rollbook_backup_running", "1 while a backup is being made.", flag(app.backups.running().is_some()));
}

fn keys(page: &mut Families, app: &App) {
    let (keys, status) = (app.sessions.keys(), app.sessions.keys().status());
    page.gauge("rollbook_jwks_keys", "Keys to verify session tokens with.", number(status.keys as u64));
    let age = status.age_seconds.and_then(|age| u64::try_from(age).ok());
    page.maybe_gauge("rollbook_jwks_age_seconds", "Since the keys were last known to be Clerk's.", age.map(number));
    let fetches = keys.fetches();
    page.counters(
        "rollbook_jwks_fetches_total",
        "Fetches of the keys, by how they ended.",
        ["result"],
        fetches.iter().map(|(result, count)| ([*result], *count)),
    );
}

fn targets(page: &mut Families, all: &[Status]) {
    let of = |value: fn(&Status) -> u64| all.iter().map(move |status| (status.target.name.as_str(), value(status)));
    let gauges = |value| of(value).map(|(name, value)| (name, number(value)));
    let counters = |value| of(value).map(|(name, value)| ([name], value));
    page.gauges(
        "rollbook_forward_up",
        "1 while a service takes what it is told, or there is nothing to tell.",
        "target",
        gauges(|status| u64::from(status.is_well())),
    );
    page.gauges(
        "rollbook_forward_behind",
        "Entries of the log that a service has yet to come past.",
        "target",
        gauges(|status| status.behind),
    );
    page.counters(
        "rollbook_forward_delivered_total",
        "What a service has taken, ever.",
        ["target"],
        counters(|status| status.course.delivered),
    );
    page.counters(
        "rollbook_forward_failures_total",
        "How often a service did not take what it was sent, since the start.",
        ["target"],
        counters(|status| status.failures),
    );
}

/// Nothing where it is not spoken.
fn tls(page: &mut Families, app: &App) {
    let Some(tls) = &app.settings.tls else { return };
    page.gauge(
        "rollbook_tls_certificate_expiry_timestamp_seconds",
        "Until when the certificate that is served is valid, in seconds since 1970.",
        seconds(tls.certificate().not_after()),
    );
    page.gauge(
        "rollbook_tls_certificate_renewed",
        "0 while the files hold what cannot be served, and the certificate from before is.",
        flag(tls.trouble().is_none()),
    );
    page.counters(
        "rollbook_tls_handshakes_total",
        "Handshakes by how they ended.",
        ["result"],
        app.metrics.connections.handshakes().map(|(result, count)| ([result], count)),
    );
}

fn requests(page: &mut Families, app: &App) {
    let connections = &app.metrics.connections;
    let (open, idle, refused) = (&connections.open, &connections.closed_idle, connections.refused());
    page.gauge("rollbook_connections", "Open connections.", number(open.load(Ordering::Relaxed)));
    let idle = idle.load(Ordering::Relaxed);
    page.counter("rollbook_connections_closed_idle_total", "Idle connections closed to make room for others.", idle);
    page.counter("rollbook_connections_refused_total", "Connections closed at once, for want of room.", refused);
    let refusals = app.tally.refusals();
    page.counters(
        "rollbook_refusals_total",
        "What was refused, and why; api.limited is for the limits on requests.",
        ["action", "reason"],
        refusals.iter().map(|((action, reason), count)| ([*action, *reason], *count)),
    );
    let requests = lock(&app.metrics.requests);
    let statuses: Vec<String> = requests.answered.keys().map(|(.., status)| status.to_string()).collect();
    let answered = requests.answered.iter().zip(&statuses);
    page.counters(
        "rollbook_http_requests_total",
        "Requests by the template of their path, their method and the status of their answer.",
        ["route", "method", "status"],
        answered.map(|(((route, method, _), count), status)| ([*route, *method, status], *count)),
    );
    page.histograms(
        "rollbook_http_request_duration_seconds",
        "From the end of a request's head to the start of its answer.",
        "route",
        requests.took.iter().map(|(route, took)| (*route, took)),
        MICROSECONDS,
    );
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

fn seconds(at: Timestamp) -> f64 {
    number(u64::try_from(at.as_millis()).unwrap_or_default()) / 1000.0
}

/// Memory that this process holds, in bytes, where the system says so in the way of Linux.
fn resident_memory() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
