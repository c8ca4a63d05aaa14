//! rafty-runtime
