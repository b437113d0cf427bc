//! A headless Chromium, asked through its debugging pipe, so that a test can click as a person would.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// A page in a browser of its own.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    asked: u64,
}

impl Browser {
    /// Opens a page, or skips loudly where there is no Chromium.
    pub(crate) fn open(page: &Path, [width, height]: [u32; 2]) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = |name: &&&str| {
            let version =
                Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let Some(program) = names.iter().find(found).filter(|_| cfg!(unix)) else {
            println!("skipped: no Chromium to click with");
            return None;
        };
        let place = tempfile::tempdir().unwrap().keep();
        let [to, from] = ["to", "from"].map(|name| place.join(name));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        // The browser reads commands from its descriptor 3 and answers on 4.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" --headless --no-sandbox --disable-gpu --remote-debugging-pipe --user-data-dir=\"$1\" 3<\"$2\" 4>\"$3\""])
            .args([Path::new(program), &place.join("profile"), &to, &from])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(&to).unwrap();
        let reader = File::open(&from).unwrap();
        let (send, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(reader).split(0) {
                let Ok(value) = serde_json::from_slice(&message.unwrap_or_default()) else { break };
                if send.send(value).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self { child, to, from, session: None, asked: 0 };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.ask("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        browser.ask("Emulation.setDeviceMetricsOverride", metrics);
        browser.ask("Page.navigate", json!({ "url": format!("file://{}", page.display()) }));
        for _ in 0..200 {
            if browser.evaluate("document.readyState") == "complete" {
                return Some(browser);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the page did not load");
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.from.recv_timeout(Duration::from_secs(60)).expect(method);
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Clicks with the mouse on the middle of the element that a selector finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
