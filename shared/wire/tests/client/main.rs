//! The client protocol as bytes: pinned, taken apart, cut short and made up.

mod golden;
mod hostile;
mod properties;
mod token;
