//! The page before Prometheus' own judge. Where that is not installed (Debian's `prometheus`) this says so and passes.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::metrics::lived_in;

fn judge(page: &str) -> std::io::Result<Output> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn()?;
    promtool.stdin.take().unwrap().write_all(page.as_bytes())?;
    promtool.wait_with_output()
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let page = lived_in().await.get("/metrics").await.text;
    let said = match judge(&page) {
        Err(cause) => return writeln!(std::io::stderr(), "SKIPPED promtool: {cause}").unwrap(),
        Ok(said) => said,
    };
    assert!(said.status.success() && said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}\n{page}");
    // And it would have.
    let bad = judge(&page.replace("rollbook_webhook_deliveries_total", "rollbook_webhook_deliveries")).unwrap();
    assert!(!bad.status.success(), "{bad:?}");
}
