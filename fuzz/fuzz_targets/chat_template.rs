//! No template makes its renderer panic, overflow the stack or run away.

#![no_main]

use gyrus_language::{ChatTemplate, Message};

libfuzzer_sys::fuzz_target!(|template: &str| {
    let Ok(template) = ChatTemplate::new(template, "<s>", "</s>") else { return };
    let _ = template.render(&[Message::new("system", "Be brief."), Message::new("user", "Hi")], true);
});
