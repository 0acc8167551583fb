//! A real Chromium, driven through its `WebDriver`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// No window is narrower; a telephone is feigned then.
const NARROWEST: u32 = 500;

/// How the browser is set up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) without_script: bool,
    pub(crate) dark: bool,
    /// In pixels; 1280 where it is 0.
    pub(crate) width: u32,
}

/// A browser with a profile of its own, which goes with it.
pub(crate) struct Browser {
    pub(crate) client: Client,
    origin: String,
    driver: Child,
    folder: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// One whose addresses begin with `origin`; `None`, and a line that says so, where there is no Chromium.
    pub(crate) async fn start(origin: String, options: Options) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(cause) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED the walk in a browser: chromedriver: {cause}");
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port =
            lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned()));
        // Read to the end: a full pipe must not be what holds the driver up.
        std::thread::spawn(move || lines.for_each(drop));
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={},900", if options.width == 0 { 1280 } else { options.width }),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        if options.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut preferences = json!({ "download.default_directory": folder.path() });
        if options.without_script {
            preferences["profile.managed_default_content_settings.javascript"] = 2.into();
        }
        let mut chrome = json!({ "args": arguments, "prefs": preferences });
        if (1..NARROWEST).contains(&options.width) {
            let metrics = json!({ "width": options.width, "height": 800, "pixelRatio": 1, "touch": false });
            chrome["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), chrome);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let client = builder.connect(&format!("http://127.0.0.1:{}", port.unwrap())).await;
        match client {
            Ok(client) => Some(Self { client, origin, driver, folder }),
            Err(cause) => {
                let _ = driver.kill();
                let _ = writeln!(std::io::stderr(), "SKIPPED the walk in a browser: {cause}");
                None
            }
        }
    }

    pub(crate) async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.unwrap();
    }

    /// Path and query of the page that is shown.
    pub(crate) async fn place(&self) -> String {
        self.client.current_url().await.unwrap().as_str().strip_prefix(&self.origin).unwrap().to_owned()
    }

    /// The first element that fits, once there is one.
    pub(crate) async fn find(&self, css: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(cause) => panic!("no {css} on {}: {cause}\n{}", self.place().await, self.text().await),
        }
    }

    /// Presses the button, or follows the link, that is called that in sight or to a screen reader.
    pub(crate) async fn press(&self, name: &str) {
        let path = format!("//*[self::a or self::button or self::summary][normalize-space(.)={name:?}]");
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        match found {
            Ok(element) => element.click().await.unwrap(),
            Err(cause) => panic!("nothing called {name:?} on {}: {cause}\n{}", self.place().await, self.text().await),
        }
    }

    /// Types into the field with that label, in place of what stands there.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let path = format!("//*[@id=//label[starts-with(normalize-space(.), {label:?})]/@for]");
        let field = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        let Ok(field) = field else { panic!("no field {label:?} on {}\n{}", self.place().await, self.text().await) };
        if field.attr("type").await.unwrap().as_deref() == Some("checkbox") {
            return field.click().await.unwrap();
        }
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// What somebody reads on the page.
    pub(crate) async fn text(&self) -> String {
        self.client.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// Waits until the page is one whose address has that in it. What stands on the page before may read the same.
    pub(crate) async fn arrives(&self, part: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.place().await.contains(part) {
            assert!(std::time::Instant::now() < deadline, "still on {}, and not on {part}", self.place().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.find("footer").await;
    }

    /// Waits until the page says that.
    pub(crate) async fn reads(&self, words: &str) {
        let path = format!("//body[contains(normalize-space(.), {words:?})]");
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        assert!(found.is_ok(), "{words:?} is not on {}:\n{}", self.place().await, self.text().await);
    }

    /// The file that was saved under a name that ends so, once it is whole.
    pub(crate) async fn saved(&self, ending: &str) -> PathBuf {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
            if let Some(file) = files.into_iter().find(|file| file.to_string_lossy().ends_with(ending)) {
                return file;
            }
            assert!(std::time::Instant::now() < deadline, "nothing was saved as *{ending}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a script of the test's own finds out.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Closes the browser.
    pub(crate) async fn close(self) {
        self.client.clone().close().await.unwrap();
    }
}
