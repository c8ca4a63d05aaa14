//! rafty-storage
