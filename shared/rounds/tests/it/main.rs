//! The round machines driven through their public shape: a toy replicated log, a toy shell, virtual time.

mod chaos;
mod models;
mod rounds;
mod scripts;
mod shell;
mod state;
mod story;
mod world;
