//! How far a long command is, on standard error: a bar on a terminal, elsewhere a line every few seconds.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use crate::control::Progress;

/// So often a line is written where there is no terminal. What is done sooner says nothing.
const EVERY: Duration = Duration::from_secs(5);

/// Shows how far `what` ("exporting users") is, until nothing more will be heard of it.
pub async fn show(what: &'static str, progress: watch::Receiver<Option<Progress>>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_message(what);
    if bar.is_hidden() { lines(what, progress).await } else { draw(&bar, progress).await }
}

/// A bar; a count where the end is not known.
async fn draw(bar: &ProgressBar, mut progress: watch::Receiver<Option<Progress>>) {
    let known = style("{msg}: [{bar:30}] {human_pos} of {human_len}, {percent}%, {eta} left");
    let unknown = style("{msg}: {human_pos} so far, {elapsed}");
    let mut total = None;
    bar.set_style(unknown.clone());
    while progress.changed().await.is_ok() {
        let Some(now) = *progress.borrow_and_update() else { continue };
        if now.total != total {
            total = now.total;
            bar.set_length(total.unwrap_or_default());
            bar.set_style(if total.is_some() { known.clone() } else { unknown.clone() });
        }
        bar.set_position(now.done);
    }
    bar.finish_and_clear();
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

async fn lines(what: &'static str, mut progress: watch::Receiver<Option<Progress>>) {
    let mut tick = interval_at(Instant::now() + EVERY, EVERY);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // Only the end matters here; what changed in between is said at the next tick.
            ended = progress.wait_for(|_| false) => if ended.is_err() { return },
        }
        let now = *progress.borrow();
        if let Some(now) = now {
            // Nobody may be reading; the work goes on all the same.
            let _ = writeln!(std::io::stderr(), "{}", line(what, now));
        }
    }
}

fn line(what: &str, Progress { done, total }: Progress) -> String {
    match total {
        Some(total) => format!("{what}: {done} of {total}"),
        None => format!("{what}: {done}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(line("exporting users", Progress { done: 5, total: Some(10) }), "exporting users: 5 of 10");
        assert_eq!(line("exporting users", Progress { done: 5, total: None }), "exporting users: 5");
    }
}
