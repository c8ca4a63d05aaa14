//! rafty-seal
