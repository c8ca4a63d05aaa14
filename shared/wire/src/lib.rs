//! rafty-wire
