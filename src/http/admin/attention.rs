//! What somebody should see to, each with the way to do it.

use super::span::Traffic;
use super::view::number;
use super::when::When;
use super::{clerk, system};
use crate::checks::{self, Level};
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::problem::Problem;

/// After how long without an event somebody should look at the endpoint, in milliseconds: a week.
const QUIET: i64 = 7 * 24 * 60 * 60 * 1000;

/// Something to see to.
#[derive(Debug)]
pub(super) struct Attention {
    /// `bad` or `warn`.
    pub(super) tone: &'static str,
    pub(super) title: String,
    pub(super) advice: String,
    /// Where it is seen to, and what that is called.
    pub(super) href: &'static str,
    pub(super) label: &'static str,
}

/// Everything there is to see to, the worst first; `day` is what came in the last one.
///
/// # Errors
/// 503 when the file cannot be read.
pub(super) async fn of(app: &App, now: Timestamp, day: &Traffic) -> Result<Vec<Attention>, Problem> {
    let mut found: Vec<Attention> = system::checks(app)
        .await?
        .into_iter()
        // What the last comparison found is told below.
        .filter(|check| check.level != Level::Ok && check.name != checks::COMPARED)
        // Somebody may have other copies. That none are made here stands at the foot.
        .filter(|check| check.name != checks::BACKUPS || app.backups.rules().is_some())
        .map(|check| {
            let (href, label) = match check.name {
                checks::BACKUPS => ("/admin/backups", "Backups"),
                checks::TARGETS => ("/admin/targets", "Targets"),
                _ => ("/admin/system", "All checks"),
            };
            let tone = if check.level == Level::Failure { "bad" } else { "warn" };
            Attention { tone, title: sentence(&check.found), advice: sentence(&check.advice), href, label }
        })
        .collect();
    let counts = app.store.counts();
    let warn =
        |title, advice: &str, href, label| Attention { tone: "warn", title, advice: advice.to_owned(), href, label };
    found.extend(of_clerk(app, now)?);
    if counts.quarantined > 0 {
        let title = match counts.quarantined {
            1 => "A delivery is in quarantine.".to_owned(),
            many => format!("{} deliveries are in quarantine.", number(many)),
        };
        let advice = "What is there came with a good signature and could not be applied. Nothing of it is lost.";
        found.push(warn(title, advice, "/admin/quarantine", "Look at the quarantine"));
    }
    let forged = day.total.refused.get("bad_signature").copied().unwrap_or_default();
    if forged > 0 {
        let title = format!("{} with a wrong signature in 24 hours.", plural(forged, "delivery", "deliveries"));
        let advice = "If they are Clerk’s, the signing secret here is not the endpoint’s. If not, somebody knocks, and stays outside.";
        found.push(warn(title, advice, "/admin/deliveries", "Deliveries"));
    }
    if counts.last_event_at.is_some_and(|at| now.as_millis() - at.as_millis() > QUIET) {
        let advice = "If people signed up or in since then, look at the endpoint in the Clerk Dashboard: it is switched off after days of failures.";
        found.push(warn("No event for more than a week.".to_owned(), advice, "/admin/deliveries", "Deliveries"));
    }
    found.sort_by_key(|attention| attention.tone != "bad");
    Ok(found)
}

/// What the last comparison with Clerk's users leaves to see to.
fn of_clerk(app: &App, now: Timestamp) -> Result<Vec<Attention>, Problem> {
    let (href, label) = (clerk::HERE, "Clerk");
    let mut found = Vec::new();
    if let Some(walked) = app.store.last_walk()?.filter(|walked| walked.lost() > 0) {
        let ago = When::ago(walked.ended_at, now).words;
        let title = format!("{} differed from Clerk’s ({ago}).", plural(walked.drift(), "user", "users"));
        let advice = "They are as Clerk has them now. Webhooks of them were lost: see that the endpoint has no failed messages, and is for all events.";
        found.push(Attention { tone: "warn", title, advice: advice.to_owned(), href, label });
    }
    if let Some(Err(cause)) = app.walks.last().map(|outcome| outcome.result) {
        let title = "The users could not be compared with Clerk’s.".to_owned();
        found.push(Attention { tone: "warn", title, advice: sentence(&cause), href, label });
    }
    Ok(found)
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// What a check says, as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}
