//! How long a verdict takes.
use anyhow::Result;
use crate::{context::Context, report::Report};
/// x
pub fn run(_: &Context, _: &mut Report) -> Result<()> { Ok(()) }
