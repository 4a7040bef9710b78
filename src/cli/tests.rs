use clap::CommandFactory as _;

use super::*;

fn parsed(line: &str) -> Result<Arguments, clap::error::ErrorKind> {
    Arguments::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
}

#[test]
fn the_command_line_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does_with_an_example() {
    fn visit(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no about", command.get_name());
        if !command.has_subcommands() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("comity "), "{} has no example", command.get_name());
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&Arguments::command());
}

#[test]
fn spires_words_and_ours_are_understood() {
    let digest = "ab".repeat(32);
    for line in [
        "comity federation list --socket /s",
        "comity federation --socketPath /s list --output json",
        "comity federation show b.example",
        "comity federation show --trustDomain b.example",
        "comity federation show --trust-domain b.example",
        "comity federation show --trust-domain=-rf",
        "comity federation show -- -rf",
        "comity federation refresh --id b.example",
        "comity federation status",
        "comity federation status b.example --watch",
        "comity federation status --watch 5",
        "comity bundle show --format pem",
        "comity bundle list --id b.example --format spiffe",
        "comity bundle diff b.example --digest abcdef012345",
        &format!("comity bundle accept b.example --digest {digest} --yes"),
        &format!("comity bundle reject b.example --digest sha256:{digest}"),
        "comity bundle history b.example --before 7 --limit 100",
        "comity bundle lint b.json --trust-domain b.example --output json",
        "comity bundle lint -",
        "comity bundle convert b.pem --trust-domain b.example --to spiffe --sequence 1 --refresh-hint 300",
        "comity bundle convert - --trustDomain b.example --from auto --to pem",
        "comity rotation status",
        "comity rotation status abcdef012345 kid --certificate a.pem --certificate - --wait --timeout 30m --output json",
        "comity config check --config comity.toml --output json",
        "comity serve --config comity.toml --ephemeral --set a.b=c=d --set e=f",
        "comity demo --once",
        "comity health --live --socket /s",
        "comity health --config comity.toml --output json",
        "comity completion bash",
        "comity man --dir /tmp",
    ] {
        assert!(parsed(line).is_ok(), "{line}");
    }
}

#[test]
fn wrong_usage_is_refused() {
    use clap::error::ErrorKind;
    for (line, expected) in [
        ("comity federation show", ErrorKind::MissingRequiredArgument),
        ("comity federation show a.example --id b.example", ErrorKind::ArgumentConflict),
        ("comity federation show B.example", ErrorKind::ValueValidation),
        ("comity federation show spiffe://b.example", ErrorKind::ValueValidation),
        ("comity federation status --watch 0", ErrorKind::ValueValidation),
        ("comity rotation status --timeout 30m", ErrorKind::MissingRequiredArgument),
        ("comity rotation status --wait --timeout 30", ErrorKind::ValueValidation),
        ("comity bundle accept b.example", ErrorKind::MissingRequiredArgument),
        ("comity bundle accept b.example --digest abc", ErrorKind::ValueValidation),
        ("comity serve --set nothing", ErrorKind::ValueValidation),
        ("comity completion", ErrorKind::MissingRequiredArgument),
        ("comity completion csh", ErrorKind::InvalidValue),
        ("comity trust-everyone", ErrorKind::InvalidSubcommand),
    ] {
        assert_eq!(parsed(line).map(drop), Err(expected), "{line}");
    }
}
