//! Whether a text supports a claim, as far as a program can tell without understanding either.
//!
//! The check is strict, because it decides what a reader may trust: each number, date and name of the claim must stand in the cited
//! text, in one stretch of neighboring sentences, in the same order where there are several, with the same units; most of its other
//! words as well; and the two must agree in negation and in direction (more or less, before or after). What passes may still be
//! unsupported, for two sentences can share all this and differ in sense; what fails is shown as unverified, not dropped silently.

mod evidence;
mod tokens;
mod verify;

pub use evidence::{Judgment, judged};
pub use tokens::{Token, TokenKind, tokens};
pub use verify::{Verdict, is_quote, verify, verify_with};
