//! The round machines driven through their public shape: a toy replicated log, a toy shell, virtual time.

mod chaos;
mod golden;
mod models;
mod one;
mod rounds;
mod shell;
mod state;
mod story;
mod world;
