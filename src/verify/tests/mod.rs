//! The verifier as a whole, beside what it should say and what others say.

mod keys;
mod matrix;
mod mint;
