//! A page in a browser tab.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use headless_chrome::protocol::cdp::types::Event;
use headless_chrome::protocol::cdp::{Emulation, Log, Network, Page as PageDomain};
use headless_chrome::{Browser, Tab};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The timeout of a wait, long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The screen that a page is shown on.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    /// `light` or `dark`.
    pub scheme: &'static str,
}

pub const WIDE: Screen = Screen {
    width: 1600,
    height: 1000,
    scheme: "light",
};

pub const PHONE: Screen = Screen {
    width: 390,
    height: 844,
    scheme: "light",
};

impl Screen {
    pub fn dark(self) -> Self {
        Self {
            scheme: "dark",
            ..self
        }
    }
}

/// A page in its own tab.
pub struct Page {
    tab: Arc<Tab>,
    url: String,
    seen: Arc<Mutex<Seen>>,
}

/// The events of the tab.
#[derive(Debug, Default)]
struct Seen {
    requests: Vec<String>,
    /// Errors and warnings of the console, and other unexpected events.
    complaints: Vec<String>,
}

impl Page {
    pub fn open(browser: &Browser, url: String, screen: Screen) -> Self {
        let tab = browser.new_tab().expect("a tab");
        let seen = Arc::<Mutex<Seen>>::default();
        let noted = seen.clone();
        let note = move |event: &Event| noted.lock().unwrap().note(event);
        tab.add_event_listener(Arc::new(note)).expect("a listener");
        tab.enable_log().expect("the log");
        tab.enable_runtime().expect("the console");
        let enable = Network::Enable {
            max_total_buffer_size: None,
            max_resource_buffer_size: None,
            max_post_data_size: None,
            report_direct_socket_traffic: None,
            enable_durable_messages: None,
        };
        tab.call_method(enable).expect("the network");
        let page = Self { tab, url, seen };
        page.show_on(screen);
        page.tab.navigate_to(&page.url).expect("a page");
        page.tab.wait_until_navigated().expect("the page");
        page
    }

    pub fn show_on(&self, screen: Screen) {
        let metrics = Emulation::SetDeviceMetricsOverride {
            width: screen.width,
            height: screen.height,
            device_scale_factor: 1.0,
            mobile: screen.width < 500,
            scale: None,
            screen_width: None,
            screen_height: None,
            position_x: None,
            position_y: None,
            dont_set_visible_size: None,
            screen_orientation: None,
            viewport: None,
            display_feature: None,
            device_posture: None,
        };
        self.tab.call_method(metrics).expect("a size");
        let media = Emulation::SetEmulatedMedia {
            media: None,
            features: Some(vec![Emulation::MediaFeature {
                name: "prefers-color-scheme".to_owned(),
                value: screen.scheme.to_owned(),
            }]),
        };
        self.tab.call_method(media).expect("a colour scheme");
    }

    /// The value of an expression in the page's script.
    pub fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        let script = format!("JSON.stringify({expression})");
        let found = self.tab.evaluate(&script, true);
        let found = found.unwrap_or_else(|error| panic!("{expression}: {error}"));
        let Some(Value::String(json)) = &found.value else {
            panic!("{expression}: {:?}", found.description);
        };
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{expression}: {error}: {json}"))
    }

    /// Waits until an expression is true.
    pub fn until(&self, expression: &str) {
        let begin = Instant::now();
        while !self.value::<bool>(&format!("Boolean({expression})")) {
            if begin.elapsed() > DEADLINE {
                let text = self.value::<String>("document.body.innerText");
                panic!("{expression} is never true of\n{text}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the page shows this text.
    pub fn until_shown(&self, text: &str) {
        let text = Value::from(text);
        self.until(&format!("document.body.innerText.includes({text})"));
    }

    pub fn type_in(&self, text: &str) {
        self.tab.type_str(text).expect("keys");
    }

    pub fn press(&self, key: &str) {
        self.tab.press_key(key).expect("a key");
    }

    /// Writes a screenshot, if `RCMGR_SCREENSHOTS` names a folder.
    pub fn picture(&self, name: impl Display) {
        let Some(folder) = env::var_os("RCMGR_SCREENSHOTS") else {
            return;
        };
        let format = PageDomain::CaptureScreenshotFormatOption::Png;
        let picture = self.tab.capture_screenshot(format, None, None, true);
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        fs::create_dir_all(&folder).expect("the folder of pictures");
        fs::write(path, picture.expect("a picture")).expect("the folder can be written to");
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }

    /// Ignores the complaints that contain this text.
    pub fn forgive(&self, what: &str) {
        let mut seen = self.seen.lock().unwrap();
        seen.complaints
            .retain(|complaint| !complaint.contains(what));
    }

    /// Checks that there were no complaints and no requests to other URLs.
    pub fn close(self) {
        let seen = self.seen.lock().unwrap();
        assert!(seen.complaints.is_empty(), "{:#?}", seen.complaints);
        for request in &seen.requests {
            assert!(request.starts_with(&self.url), "{request}");
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The browser may have ended.
        let _ = self.tab.close(false);
    }
}

impl Seen {
    fn note(&mut self, event: &Event) {
        match event {
            Event::NetworkRequestWillBeSent(sent) => {
                self.requests.push(sent.params.request.url.clone());
            }
            Event::RuntimeExceptionThrown(thrown) => {
                let complaint = format!("{:?}", thrown.params.exception_details);
                self.complaints.push(complaint);
            }
            Event::RuntimeConsoleAPICalled(called) => {
                self.complaints.push(format!("{:?}", called.params.args));
            }
            Event::LogEntryAdded(added) => {
                let entry = &added.params.entry;
                if entry.level != Log::LogEntryLevel::Verbose {
                    self.complaints
                        .push(format!("{:?} {:?}", entry.text, entry.url));
                }
            }
            Event::PageJavascriptDialogOpening(opened) => {
                self.complaints.push(format!("{:?}", opened.params));
            }
            _ => {}
        }
    }
}
