//! "Did you mean": the closest of the names that are known.

/// Names as close as this are proposed; clap's own bound.
const CLOSE: f64 = 0.7;

/// `; did you mean R4?` or nothing.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let folded = name.to_lowercase();
    let closest = known
        .into_iter()
        .map(|candidate| (strsim::jaro(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    closest.map_or_else(String::new, |(_, candidate)| format!("; did you mean {candidate}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_proposed_and_a_wild_guess_is_not() {
        assert_eq!(did_you_mean("R44", ["R1", "R4", "C4"]), "; did you mean R4?");
        assert_eq!(did_you_mean("07-pool-sever", ["07-pool-server"]), "; did you mean 07-pool-server?");
        assert_eq!(did_you_mean("xyz", ["R1", "R4"]), "");
    }
}
