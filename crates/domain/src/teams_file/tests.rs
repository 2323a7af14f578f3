use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc, Weekday};

use super::*;
use crate::Position;
use crate::insight::{Clock, GoalRevision};
use crate::messages::ChannelEntry;

const VALID: &str = "\
version: 1
timezone: Europe/Oslo
repositories: [acme/api, acme/web]
teams:
  - slug: payments
    name: Payments
    members:
      - { github: alice, id: 1001, from: 2025-01-06 }
      - { github: bob, weight: 0.5, from: 2026-01-01, to: 2026-07-01 }
";

fn parse(text: &str) -> Result<TeamsFile, Problems> {
    TeamsFile::parse("teams.yaml", text.as_bytes())
}

fn problems(text: &str) -> Problems {
    parse(text).expect_err("the file has problems")
}

fn codes(text: &str) -> Vec<&'static str> {
    problems(text).list.iter().map(|problem| problem.code).collect()
}

/// A file with these members in its only team.
fn with_members(members: &str) -> String {
    format!("version: 1\nrepositories: [acme/api]\nteams:\n  - slug: pay\n    members:\n{members}")
}

/// A file with these extra lines at its top.
fn with_top(lines: &str) -> String {
    format!("{lines}\nteams: [{{ slug: pay, members: [{{ github: ana }}] }}]\n")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

#[test]
fn the_documented_example_is_read_in_its_zone() {
    let file = parse(VALID).expect("valid");
    assert_eq!(file.timezone, chrono_tz::Europe::Oslo);
    let [alice, bob] = file.teams[0].members.as_slice() else { panic!("two members") };
    assert_eq!((&alice.external_id, alice.weight), (&Some(1001.into()), Weight::FULL));
    assert_eq!(alice.period, Period::new(Some(at("2025-01-05T23:00:00Z")), None).expect("valid"));
    assert_eq!(bob.weight.to_string(), "0.5");
    assert_eq!(bob.period.to(), Some(at("2026-06-30T22:00:00Z")));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = "\
version: 1
timezone: Europe/Olso
repositories: [acme/api, https://github.com/acme/web]
teams:
  - slug: Payments
    members:
      - { github: '@alice', from: 2026-02-30 }
      - { github: bob, alocation_weight: 0.5 }
      - { github: carl, weight: 50 }
";
    insta::assert_snapshot!(problems(text), @r"
    teams.yaml:2:11: config.timezone: `Europe/Olso` is not a time zone
      at timezone
         2 | timezone: Europe/Olso
           |           ^
      help: did you mean `Europe/Oslo`?
    teams.yaml:3:26: config.repo_syntax: `https://github.com/acme/web` is not a repository: write `owner/name`
      at repositories[1]
         3 | repositories: [acme/api, https://github.com/acme/web]
           |                          ^
      help: write `acme/web`
    teams.yaml:5:11: config.team_slug: `Payments` is not a slug (lower-case letters, digits and inner hyphens, at least one letter, at most 63 characters)
      at teams[0].slug
         5 |   - slug: Payments
           |           ^
      help: write `payments`
    teams.yaml:7:19: config.login_syntax: `@alice` is not a GitHub login (letters, digits and hyphens, not starting with a hyphen)
      at teams[0].members[0].github
         7 |       - { github: '@alice', from: 2026-02-30 }
           |                   ^
      help: write `alice`
    teams.yaml:7:35: config.date: `2026-02-30` is not a date
      at teams[0].members[0].from
         7 |       - { github: '@alice', from: 2026-02-30 }
           |                                   ^
      help: write `2026-01-05`, or an instant with offset: `2026-01-05T12:00:00Z`
    teams.yaml:8:24: config.unknown_key: unknown key `alocation_weight`
      at teams[0].members[1].alocation_weight
         8 |       - { github: bob, alocation_weight: 0.5 }
           |                        ^
      help: did you mean `weight`?
    teams.yaml:9:33: config.weight_range: 50 is not above 0 and at most 1
      at teams[0].members[2].weight
         9 |       - { github: carl, weight: 50 }
           |                                 ^
      help: use 0.5 for half of the person's work, not 50
    ");
}

#[test]
fn syntax_errors_tabs_and_conflict_markers_have_places() {
    for text in [
        "version: 1\nteams: [",
        "version: 1\nteams:\n\t- slug: x",
        "a: b: c",
        "<<<<<<< HEAD\nversion: 1\n",
        "? [a]\n: b",
    ] {
        let found = problems(text);
        assert_eq!(found.list[0].code, "config.syntax", "{found}");
        assert!(found.list[0].at.is_some(), "{found}");
    }
}

#[test]
fn unknown_and_repeated_keys_are_refused_at_every_level() {
    assert_eq!(codes(&with_top("version: 1\nrepositories: [a/b]\nrepos: [a/b]")), ["config.unknown_key"]);
    assert_eq!(codes(&with_top("version: 1\nversion: 1\nrepositories: [a/b]")), ["config.duplicate_key"]);
    assert_eq!(codes(&with_members("      - { github: ana }\n    nmae: Pay\n")), ["config.unknown_key"]);
    // A misspelled key counts as the key it means, so that key is not reported as missing. Other missing keys are.
    assert_eq!(codes(&with_members("      - { github_username: ana }\n")), ["config.unknown_key"]);
    assert_eq!(codes(&with_members("      - { who: ana }\n")), ["config.missing_key", "config.unknown_key"]);
}

#[test]
fn weights_must_be_numbers_from_0_to_1() {
    for (weight, code) in [
        ("1.5", "config.weight_range"),
        ("150", "config.weight_range"),
        ("0", "config.weight_range"),
        ("-1", "config.weight_range"),
        ("0.33333", "config.weight_range"),
        (".nan", "config.type"),
        ("half", "config.type"),
        ("'0.5'", "config.type"),
        ("[0.5]", "config.type"),
    ] {
        assert_eq!(codes(&with_members(&format!("      - {{ github: ana, weight: {weight} }}\n"))), [code], "{weight}");
    }
}

#[test]
fn concurrent_weights_above_one_are_refused_unless_allowed() {
    let teams = "repositories: [a/b]\nteams:\n  - { slug: one, members: [{ github: Ana, weight: 0.6 }] }\n  - { slug: two, members: [{ github: ana, weight: 0.6, from: 2026-01-05 }] }\n";
    let found = problems(&format!("version: 1\n{teams}"));
    assert_eq!(found.list[0].message, "the weights of `ana` sum to 1.2 from 2026-01-05");
    assert_eq!(found.list[0].code, "config.weight_sum");
    assert!(parse(&format!("version: 1\nallow_weights_above_one: true\n{teams}")).is_ok());
}

#[test]
fn the_minimum_group_size_is_optional() {
    let size = |line: &str| {
        parse(&with_top(&format!("version: 1\nrepositories: [a/b]\n{line}"))).expect("valid").min_group_size
    };
    for (line, expected) in [
        ("privacy: { min_group_size: 2 }", Some(2)),
        ("privacy:\n  min_group_size: 100", Some(100)),
        ("", None),
        ("privacy: {}", None),
    ] {
        assert_eq!(size(line), expected, "{line}");
    }
}

#[test]
fn group_sizes_must_be_numbers_from_2_to_100() {
    for (privacy, code) in [
        ("{ min_group_size: 1 }", "config.range"),
        ("{ min_group_size: 0 }", "config.range"),
        ("{ min_group_size: -3 }", "config.range"),
        ("{ min_group_size: 101 }", "config.range"),
        ("{ min_group_size: 258 }", "config.range"),
        ("{ min_group_size: 99999999999999999999999999999999999999999 }", "config.range"),
        ("{ min_group_size: 2.5 }", "config.type"),
        ("{ min_group_size: three }", "config.type"),
        ("{ min_group_size: '3' }", "config.type"),
        ("{ min_group_size: '' }", "config.type"),
        ("{ min_group_size: [3] }", "config.type"),
        ("{ min_group_size: 3, min_group_size: 3 }", "config.duplicate_key"),
        ("{ min_size: 3 }", "config.unknown_key"),
        ("3", "config.type"),
        ("[min_group_size]", "config.type"),
    ] {
        let text = with_top(&format!("version: 1\nrepositories: [a/b]\nprivacy: {privacy}"));
        assert_eq!(codes(&text), [code], "{privacy}");
    }
}

#[test]
fn problems_in_privacy_settings_have_places() {
    let text = "\
version: 1
repositories: [acme/api]
privacy:
  min_group_sise: 3
  min_group_size: 1
privcy: { min_group_size: 3 }
teams: [{ slug: pay, members: [{ github: ana }] }]
";
    insta::assert_snapshot!(problems(text), @r"
    teams.yaml:4:3: config.unknown_key: unknown key `min_group_sise`
      at privacy.min_group_sise
         4 |   min_group_sise: 3
           |   ^
      help: did you mean `min_group_size`?
    teams.yaml:5:19: config.range: `1` is out of range
      at privacy.min_group_size
         5 |   min_group_size: 1
           |                   ^
      help: write a whole number from 2 to 100, or leave it out to show all
    teams.yaml:6:1: config.unknown_key: unknown key `privcy`
      at privcy
         6 | privcy: { min_group_size: 3 }
           | ^
      help: did you mean `privacy`?
    ");
}

#[test]
fn a_change_of_team_on_one_day_sums_to_one() {
    let text = "version: 1\nrepositories: [a/b]\nteams:\n  - { slug: one, members: [{ github: ana, to: 2026-01-05 }] }\n  - { slug: two, members: [{ github: ana, from: 2026-01-05 }] }\n";
    assert!(parse(text).is_ok());
}

#[test]
fn a_period_must_end_after_it_starts() {
    for (from, to) in [("2026-01-05", "2026-01-05"), ("2026-01-05", "2025-01-05")] {
        let text = with_members(&format!("      - {{ github: ana, from: {from}, to: {to} }}\n"));
        assert_eq!(codes(&text), ["config.period_order"]);
    }
}

#[test]
fn overlapping_memberships_show_both_lines() {
    let overlapping = with_members(
        "      - { github: ana, weight: 0.5, to: 2026-02-01 }\n      - { github: ANA, weight: 0.5, from: 2026-01-01 }\n",
    );
    let found = problems(&overlapping);
    assert_eq!(found.list[0].code, "config.period_overlap");
    assert_eq!((found.list[0].at.map(|at| at.line), found.list[0].related.map(|at| at.line)), (Some(7), Some(6)));
    let touching = with_members("      - { github: ana, to: 2026-02-01 }\n      - { github: ana, from: 2026-02-01 }\n");
    assert!(parse(&touching).is_ok());
}

#[test]
fn teams_and_repositories_are_unique_ignoring_case() {
    let repositories = with_top("version: 1\nrepositories: [acme/api, Acme/API]");
    assert_eq!(codes(&repositories), ["config.duplicate_repo"]);
    let teams =
        "version: 1\nrepositories: [a/b]\nteams:\n  - { slug: pay, members: [] }\n  - { slug: pay, members: [] }\n";
    assert_eq!(codes(teams), ["config.duplicate_team"]);
}

#[test]
fn a_teams_name_is_one_line_of_text() {
    for name in ["''", "\"a\\0b\"", "\"\\e[31mred\"", "\"two\\nlines\"", &"x".repeat(101)] {
        let text = format!("version: 1\nrepositories: [a/b]\nteams: [{{ slug: pay, name: {name}, members: [] }}]");
        assert_eq!(codes(&text), ["config.team_name"], "{name}");
    }
}

#[test]
fn days_in_messages_use_the_file_time_zone() {
    let text = "version: 1\ntimezone: Europe/Oslo\nrepositories: [a/b]\nteams:\n  - { slug: one, members: [{ github: ana }] }\n  - { slug: two, members: [{ github: ana, from: 2026-05-31 }] }\n";
    assert_eq!(problems(text).list[0].message, "the weights of `ana` sum to 2 from 2026-05-31");
}

#[test]
fn an_account_may_have_two_consecutive_logins() {
    let two_numbers =
        "      - { github: ana, id: 1, to: 2026-01-01 }\n      - { github: ana, id: 2, from: 2026-01-01 }\n";
    assert_eq!(codes(&with_members(two_numbers)), ["config.person_id"]);
    let renamed =
        "      - { github: ana, id: 1, to: 2026-01-01 }\n      - { github: ana-b, id: 1, from: 2026-01-01 }\n";
    assert!(parse(&with_members(renamed)).is_ok());
    let at_once = problems(&with_members("      - { github: ana, id: 1 }\n      - { github: ana-b, id: 1 }\n"));
    assert_eq!(at_once.list[0].code, "config.period_overlap");
    assert_eq!(at_once.list[0].message, "`ana` and `ana-b` are one person, who is in this team twice at the same time");
    assert_eq!(at_once.list[1].code, "config.weight_sum");
    assert_eq!(codes(&with_members("      - { github: ana, id: 0 }\n")), ["config.person_id"]);
}

#[test]
fn empty_and_missing_values_are_named() {
    assert_eq!(codes(""), ["config.empty"]);
    assert_eq!(codes("version: 1\nrepositories: []\nteams: []\n"), ["config.empty", "config.empty"]);
    assert_eq!(codes(&with_top("version: 1")), ["config.missing_key"]);
}

#[test]
fn dates_have_one_format_and_plausible_years() {
    for date in ["2026-02-30", "06/07/2026", "0202-01-01", "2026-1-5", "yesterday", "2026-01-05T12:00:00", "20260105"] {
        assert_eq!(
            codes(&with_members(&format!("      - {{ github: ana, from: {date} }}\n"))),
            ["config.date"],
            "{date}"
        );
    }
    assert!(parse(&with_members("      - { github: ana, from: 2026-01-05T12:00:00+01:00 }\n")).is_ok());
    assert!(parse(&with_members("      - { github: ana, from: 2099-01-01 }\n")).is_ok(), "a future start is fine");
}

#[test]
fn time_zones_are_iana_names() {
    for zone in ["Mars/Phobos", "CEST", "CET", "+01:00"] {
        assert_eq!(
            codes(&with_top(&format!("version: 1\ntimezone: {zone}\nrepositories: [a/b]"))),
            ["config.timezone"],
            "{zone}"
        );
    }
}

#[test]
fn another_format_version_is_refused() {
    assert_eq!(codes(&with_top("version: 2\nrepositories: [a/b]")), ["config.version"]);
}

#[test]
fn byte_order_marks_pass_but_other_encodings_fail() {
    assert!(parse(&format!("\u{feff}{}", VALID.replace('\n', "\r\n"))).is_ok());
    let latin1 = TeamsFile::parse("teams.yaml", b"version: 1\nname: J\xf8rgen").expect_err("refused");
    assert_eq!((latin1.list[0].code, latin1.list[0].at), ("config.encoding", Some(Position { line: 2, column: 8 })));
}

#[test]
fn yaml_bombs_are_refused_before_they_expand() {
    let aliases = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    assert_eq!(codes(aliases)[0], "config.syntax");
    assert_eq!(codes(&format!("{}x", "- ".repeat(20))), ["config.too_large"]);
    assert_eq!(codes(&"[".repeat(10_000)), ["config.syntax"], "the parser's own limit");
    assert_eq!(codes(&"x".repeat(50_000_000)), ["config.too_large"]);
}

#[test]
fn environment_variables_give_the_same_file() {
    let json = r#"[{"slug": "payments", "name": "Payments", "members": [
        {"github_username": "al\u0069ce", "id": 1001, "joined_at": "2025-01-06"},
        {"github": "bob", "allocation_weight": 0.5, "joined_at": "2026-01-01", "left_at": "2026-07-01"}]}]"#;
    let variables = TeamsFile::parse_variables(json, "acme/api, acme/web").expect("valid");
    let file = parse(&VALID.replace("Europe/Oslo", "UTC")).expect("valid");
    assert_eq!(variables, file);
}

#[test]
fn problems_in_variables_name_the_variable() {
    let found = TeamsFile::parse_variables(r#"[{"slug": "pay", "members": [{"github": "a b"}]}]"#, "acme")
        .expect_err("refused");
    let codes: Vec<_> = found.list.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["config.repo_syntax", "config.login_syntax"]);
    assert!(found.to_string().contains("TEAM_CONFIG_JSON:1:41"), "{found}");
    assert!(found.to_string().contains("REPOSITORIES: config.repo_syntax"), "{found}");
    for (json, help) in [
        (r#"[{"slug": "pay", "members": []}"#, "it is JSON"),
        (r#"{"version": 1, "teams": [{"slug": "pay", "members": []}]}"#, "write only the list of teams"),
    ] {
        let found = TeamsFile::parse_variables(json, "acme/api").expect_err("refused");
        let helps: Vec<_> = found.list.iter().filter_map(|problem| problem.help.as_deref()).collect();
        assert!(helps.len() == 1 && helps[0].contains(help), "{found}");
    }
}

fn with_delivery(part: &str) -> String {
    format!(
        "version: 1\nrepositories: [acme/shop, acme/mono, 'other/*']\n{part}\nteams:\n  - {{ slug: pay, members: [] }}\n  \
         - {{ slug: web, members: [] }}\n"
    )
}

#[test]
fn services_environments_and_windows_are_read() {
    let file = with_delivery(
        "environments: { production: [production, prod-*] }\n\
         incidents: { issues: { labels: [incident, sev] }, window: 12h, remedy_window: 14d, hotfix: { labels: [urgent], branches: [fix/*] } }\n\
         services:\n\
         - { slug: shop, name: The shop, repositories: [Acme/Shop, other/x], environments: [live], owners: \
         [{ team: pay, weight: 0.6 }, { team: web, weight: 0.4, from: 2026-01-01 }] }\n\
         - { slug: mono, repositories: [acme/mono] }",
    );
    let settings = TeamsFile::parse("teams.yaml", file.as_bytes()).expect("valid").delivery;
    assert_eq!(settings.production, Some(vec!["production".to_owned(), "prod-*".to_owned()]));
    assert_eq!(settings.incident_labels, ["incident", "sev"]);
    assert_eq!((settings.incident_window_hours, settings.remedy_window_hours), (Some(12), Some(336)));
    assert_eq!(
        (settings.hotfix_labels(), settings.hotfix_branches()),
        (vec!["urgent".to_owned()], vec!["fix/*".to_owned()])
    );
    let shop = &settings.services[0];
    assert_eq!((shop.name.as_str(), shop.repositories[0].as_str()), ("The shop", "acme/shop"));
    assert_eq!(shop.owners.iter().map(|owner| owner.weight.units()).collect::<Vec<_>>(), [6_000, 4_000]);
    assert_eq!(settings.services[1].name, "mono");
    let stored = serde_json::to_value(&settings).expect("serializes");
    assert_eq!(serde_json::from_value::<DeliverySettings>(stored).expect("reads back"), settings);
}

#[test]
fn impossible_services_are_refused() {
    let service = |line: &str| with_delivery(&format!("services: [{line}]"));
    for (file, codes) in [
        (service("{ slug: a, repositories: [acme/unknown] }"), &["config.service_repository"][..]),
        (service("{ slug: a, repositories: [] }"), &["config.empty"]),
        (service("{ slug: 42, repositories: [acme/shop] }"), &["config.service_slug"]),
        (
            service("{ slug: a, repositories: [acme/shop] }, { slug: a, repositories: [acme/mono] }"),
            &["config.duplicate_service"],
        ),
        (
            service("{ slug: a, repositories: [acme/mono] }, { slug: b, repositories: [acme/mono] }"),
            &["config.service_environments"],
        ),
        (
            service(
                "{ slug: a, repositories: [acme/mono], environments: [prod-a] }, { slug: b, repositories: [acme/mono] }",
            ),
            &[],
        ),
        (
            service(
                "{ slug: a, repositories: [acme/mono], deployments: { workflow: a.yml } }, { slug: b, repositories: [acme/mono], \
                 deployments: { workflow: b.yml } }, { slug: c, repositories: [acme/mono], deployments: { source: events } }, { \
                 slug: d, repositories: [acme/mono], deployments: { source: github-releases, tag: 'd-*' } }",
            ),
            &[],
        ),
        (
            service(
                "{ slug: a, repositories: [acme/mono], deployments: { source: github-releases, tag: '*' } }, { slug: b, \
                 repositories: [acme/mono], deployments: { source: github-releases, tag: 'b-*' } }",
            ),
            &["config.service_environments"],
        ),
        // Environments say nothing about runs.
        (
            service(
                "{ slug: a, repositories: [acme/mono], environments: [prod-a], deployments: { workflow: a.yml } }, { slug: b, \
                 repositories: [acme/mono], deployments: { workflow: a.yml, branch: main } }",
            ),
            &["config.service_environments"],
        ),
        (service("{ slug: a, repositories: [acme/mono], paths: [shop, 'libs/**'] }"), &[]),
        (service("{ slug: a, repositories: [acme/mono], paths: [] }"), &["config.empty"]),
        (service("{ slug: a, repositories: [acme/mono], paths: [/shop, '!docs', 'a**'] }"), &["config.path"; 3]),
        (
            service(
                "{ slug: a, repositories: [acme/mono], paths: [shop], deployments: { source: merges, branch: main } }",
            ),
            &["config.service_paths"],
        ),
        (
            with_delivery(
                "deployments: { source: merges, branch: main }\nservices: [{ slug: a, repositories: [acme/mono], paths: [shop] }]",
            ),
            &["config.service_paths"],
        ),
        (service("{ slug: a, repositories: [acme/shop], owners: [{ team: nobody }] }"), &["config.service_owner"]),
        (
            service("{ slug: a, repositories: [acme/shop], owners: [{ team: pay }, { team: web, weight: 0.1 }] }"),
            &["config.weight_sum"],
        ),
        (
            service(
                "{ slug: a, repositories: [acme/shop], owners: [{ team: pay, weight: 0.5 }, { team: pay, weight: 0.5 }] }",
            ),
            &["config.period_overlap"],
        ),
        (with_delivery("environments: { production: [] }"), &["config.empty"]),
        (with_delivery("environments: { production: [a], trust_flag: true }"), &["config.environments"]),
        (service("{ slug: a, repositories: [acme/shop, Acme/Shop] }"), &["config.duplicate_repo"]),
        (with_delivery("environments: { production: ['a[b'] }"), &["config.pattern"]),
        (with_delivery("environments: { producton: [a] }"), &["config.unknown_key"]),
        (with_delivery("incidents: { window: 1 day }"), &["config.window"]),
        (with_delivery("incidents: { issues: { labels: [] } }"), &["config.empty"]),
        (with_delivery("incidents: { issues: {} }"), &["config.missing_key"]),
        (with_delivery("incidents: { window: 500d }"), &["config.window"]),
    ] {
        let found = match TeamsFile::parse("teams.yaml", file.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.list.iter().map(|problem| problem.code).collect(),
        };
        assert_eq!(found, codes, "{file}");
    }
}

#[test]
fn the_schema_has_exactly_the_accepted_keys() {
    let schema = json_schema();
    let keys = |pointer: &str| {
        let object = schema.pointer(pointer).and_then(|value| value.as_object()).expect("properties");
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("/properties"), sorted(reader::FILE_KEYS));
    assert_eq!(keys("/$defs/Privacy/properties"), sorted(reader::PRIVACY_KEYS));
    assert_eq!(keys("/$defs/Instance/properties"), sorted(reader::INSTANCE_KEYS));
    assert_eq!(keys("/$defs/Team/properties"), sorted(reader::TEAM_KEYS));
    assert_eq!(keys("/$defs/Member/properties"), sorted(reader::MEMBER_KEYS));
    assert_eq!(keys("/$defs/Environments/properties"), sorted(delivery::ENVIRONMENT_KEYS));
    assert_eq!(keys("/$defs/Incidents/properties"), sorted(delivery::INCIDENT_KEYS));
    assert_eq!(keys("/$defs/Issues/properties"), sorted(delivery::ISSUE_KEYS));
    assert_eq!(keys("/$defs/Hotfix/properties"), sorted(delivery::HOTFIX_KEYS));
    assert_eq!(keys("/$defs/Service/properties"), sorted(delivery::SERVICE_KEYS));
    assert_eq!(keys("/$defs/Owner/properties"), sorted(delivery::OWNER_KEYS));
    assert_eq!(keys("/$defs/Access/properties"), sorted(access::ACCESS_KEYS));
    assert_eq!(keys("/$defs/Goal/properties"), sorted(goals::GOAL_KEYS));
    assert_eq!(keys("/$defs/InvestmentRule/properties"), sorted(investment::INVESTMENT_KEYS));
    assert_eq!(keys("/$defs/Channel/properties"), sorted(channels::CHANNEL_KEYS));
    assert_eq!(keys("/$defs/Metric/properties"), sorted(metrics::METRIC_KEYS));
    let of_when: Vec<&str> = metrics::FIELD_KEYS.iter().copied().chain(["state", "not"]).collect();
    assert_eq!(keys("/$defs/MetricWhen/properties"), sorted(&of_when));
    for range in ["TimeRange", "SizeRange"] {
        assert_eq!(keys(&format!("/$defs/{range}/properties")), sorted(metrics::RANGE_KEYS));
    }
}

#[test]
fn the_schema_and_the_reader_agree() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    let member = |member: &str| {
        format!(r#"{{"version": 1, "repositories": ["a/b"], "teams": [{{"slug": "pay", "members": [{member}]}}]}}"#)
    };
    let privacy = |privacy: &str| {
        format!(
            r#"{{"version": 1, "repositories": ["a/b"], "privacy": {privacy}, "teams": [{{"slug": "pay", "members": []}}]}}"#
        )
    };
    let instances = |instances: &str| {
        format!(
            r#"{{"version": 1, "repositories": ["a/b"], "instances": {instances}, "teams": [{{"slug": "pay", "members": []}}]}}"#
        )
    };
    let deployments = |deployments: &str| {
        format!(
            r#"{{"version": 1, "repositories": ["a/b"], "deployments": {deployments}, "teams": [{{"slug": "pay", "members": []}}]}}"#
        )
    };
    let access = |line: &str| {
        format!(
            r#"{{"version": 1, "repositories": ["a/b"], "access": [{line}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        )
    };
    for (json, valid) in [
        (deployments(r#"{"workflow": "deploy.yml"}"#), true),
        (deployments(r#"{"source": "merges", "branch": "main"}"#), true),
        (deployments(r#"{"source": "jenkins"}"#), false),
        (access(r#"{"group": "eng", "role": "manager"}"#), true),
        (access(r#"{"group": "eng", "role": "lead", "teams": ["pay"], "not_before": "2026-06-01"}"#), true),
        (access(r#"{"email": "ana@acme.com", "deny": true}"#), true),
        (access(r#"{"domain": "acme.com", "role": "viewer"}"#), true),
        (access(r#"{"subject": "00u1", "role": "admin"}"#), true),
        (access(r#"{"role": "viewer"}"#), false),
        (access(r#"{"group": "eng"}"#), false),
        (access(r#"{"group": "eng", "email": "ana@acme.com", "role": "viewer"}"#), false),
        (access(r#"{"group": "eng", "role": "viewer", "deny": true}"#), false),
        (access(r#"{"group": "eng", "deny": false}"#), false),
        (access(r#"{"group": "eng", "role": "owner"}"#), false),
        (access(r#"{"group": "eng", "role": "viewer", "teams": []}"#), false),
        (access(r#"{"email": "ana", "role": "viewer"}"#), false),
        (access(r#"{"domain": "@acme.com", "role": "viewer"}"#), false),
        (access(r#""eng""#), false),
        (member(r#"{"github": "ana"}"#), true),
        (member(r#"{"gitlab": "ana.smith"}"#), true),
        (member(r#"{"github": "ana", "gitlab": "ana.smith", "weight": 0.5}"#), true),
        (member(r#"{"weight": 0.5}"#), false),
        (member(r#"{"gitlab": "-ana"}"#), false),
        (member(r#"{"gitlab": "ana smith"}"#), false),
        (instances(r#"[{"forge": "gitlab", "url": "https://gitlab.example.com/"}]"#), true),
        (instances(r#"[{"forge": "gitlab", "url": "https://git.example.com/gitlab"}]"#), true),
        (instances(r#"[{"forge": "gitea", "url": "https://gitea.example.com"}]"#), false),
        (instances(r#"[{"forge": "gitlab", "url": "gitlab.example.com"}]"#), false),
        (instances(r#"[{"forge": "gitlab", "url": "https://me:secret@gitlab.example.com"}]"#), false),
        (instances(r#"[{"forge": "gitlab", "url": "https://gitlab.example.com?a=b"}]"#), false),
        (instances(r#"[{"forge": "gitlab"}]"#), false),
        (privacy(r#"{"min_group_size": 2}"#), true),
        (privacy(r#"{"min_group_size": 100}"#), true),
        (privacy("{}"), true),
        (privacy(r#"{"min_group_size": 1}"#), false),
        (privacy(r#"{"min_group_size": 101}"#), false),
        (privacy(r#"{"min_group_size": 2.5}"#), false),
        (privacy(r#"{"min_group_size": "3"}"#), false),
        (privacy(r#"{"group_size": 3}"#), false),
        (privacy("3"), false),
        (
            member(r#"{"github": "renovate[bot]", "id": 7, "weight": 0.5, "from": "2026-01-05", "to": "2026-02-05"}"#),
            true,
        ),
        (member(r#"{"github": "ana", "weight": 1.5}"#), false),
        (member(r#"{"github": "ana", "weight": 0}"#), false),
        (member(r#"{"github": "@ana"}"#), false),
        (member(r#"{"weight": 0.5}"#), false),
        (member(r#"{"github": "ana", "allocation_weight": 0.5}"#), false),
        (r#"{"version": 2, "repositories": ["a/b"], "teams": [{"slug": "pay", "members": []}]}"#.to_owned(), false),
        (
            r#"{"version": 1, "repositories": ["a/*", "!a/b", "!a/*-c"], "teams": [{"slug": "pay", "members": []}]}"#
                .to_owned(),
            true,
        ),
        (
            r#"{"version": 1, "repositories": ["a/*", "!a"], "teams": [{"slug": "pay", "members": []}]}"#.to_owned(),
            false,
        ),
        (r#"{"version": 1, "repositories": [], "teams": [{"slug": "pay", "members": []}]}"#.to_owned(), false),
        (r#"{"version": 1, "repositories": ["a/b"], "teams": [{"slug": "42", "members": []}]}"#.to_owned(), false),
    ] {
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {json}");
        assert_eq!(parse(&json).is_ok(), valid, "reader: {json}");
    }
}

#[test]
fn the_schema_and_the_reader_agree_about_goals() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    let goal = |goal: &str| {
        format!(
            r#"{{"version": 1, "repositories": ["a/b"], "goals": [{goal}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        )
    };
    for (json, valid) in [
        (goal(r#"{"id": "a", "form": "share", "measure": "pickup", "within": "4h", "share": 0.8}"#), true),
        (goal(r#"{"id": "a", "form": "share", "measure": "pickup", "within": "4h", "share": 1}"#), false),
        (goal(r#"{"id": "a", "form": "share", "measure": "pickup", "share": 0.8}"#), false),
        (goal(r#"{"id": "a", "form": "each", "measure": "age", "within": "7d", "team": "pay"}"#), true),
        (goal(r#"{"id": "a", "form": "each", "measure": "age", "within": "7d", "share": 0.8}"#), false),
        (goal(r#"{"id": "a", "form": "each", "measure": "mood", "within": "7d"}"#), false),
        (goal(r#"{"id": "a", "form": "limit", "open": 10, "from": "2026-01-05"}"#), true),
        (goal(r#"{"id": "a", "form": "limit", "open": 10, "within": "4h"}"#), false),
        (goal(r#"{"id": "a", "form": "limit", "open": -1}"#), false),
        (goal(r#"{"id": "a", "form": "most", "open": 1}"#), false),
        (
            goal(
                r#"{"id": "a", "form": "each", "measure": "pickup", "within": "4h", "clock": "working", "hours": "09:00-17:00", "days": ["mon"], "free": ["2026-12-24"]}"#,
            ),
            true,
        ),
        (goal(r#"{"id": "a", "form": "each", "measure": "pickup", "within": "4h", "clock": "working"}"#), false),
        (goal(r#"{"id": "a", "form": "each", "measure": "pickup", "within": "4h", "hours": "09:00-17:00"}"#), false),
        (
            goal(
                r#"{"id": "a", "form": "each", "measure": "pickup", "within": "1d", "clock": "working", "hours": "09:00-17:00"}"#,
            ),
            false,
        ),
        (goal(r#"{"id": "a", "form": "limit", "open": 1, "clock": "working", "hours": "09:00-17:00"}"#), false),
    ] {
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {json}");
        assert_eq!(parse(&json).is_ok(), valid, "reader: {json}");
    }
}

#[test]
fn the_schema_and_the_reader_agree_about_kinds_of_work() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    for (rule, valid) in [
        (r#"{"category": "upkeep", "labels": ["chore"], "branches": ["chore/*"], "titles": ["Bump *"]}"#, true),
        (r#"{"category": "rework", "rework": true}"#, true),
        (r#"{"category": "rework", "rework": false}"#, false),
        (r#"{"category": "upkeep"}"#, false),
        (r#"{"labels": ["chore"]}"#, false),
        (r#"{"category": "upkeep", "labels": []}"#, false),
        (r#"{"category": "", "labels": ["chore"]}"#, false),
        (r#"{"category": "uncategorized", "labels": ["chore"]}"#, false),
        (r#"{"category": "upkeep", "titles": ["[Security] *", "**", "a?"]}"#, true),
        (r#"{"category": "upkeep", "label": ["chore"]}"#, false),
    ] {
        let json = format!(
            r#"{{"version": 1, "repositories": ["a/b"], "investment": [{rule}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        );
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {json}");
        assert_eq!(parse(&json).is_ok(), valid, "reader: {json}");
    }
}

#[test]
fn the_schema_and_the_reader_agree_about_channels() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    for (channel, valid) in [
        (r#"{"id": "chat", "kind": "slack", "kinds": ["digest"]}"#, true),
        (
            r#"{"id": "chat", "kind": "email", "kinds": ["digest", "operations"], "teams": ["pay"], "quiet": "18:00-08:00",
                "weekends": false, "titles": false}"#,
            true,
        ),
        (r#"{"id": "chat", "kind": "irc", "kinds": ["digest"]}"#, false),
        (r#"{"id": "chat", "kind": "slack", "kinds": []}"#, false),
        (r#"{"id": "chat", "kind": "slack", "kinds": ["news"]}"#, false),
        (r#"{"id": "chat", "kind": "slack"}"#, false),
        (r#"{"id": "Chat", "kind": "slack", "kinds": ["digest"]}"#, false),
        (r#"{"kind": "slack", "kinds": ["digest"]}"#, false),
        (r#"{"id": "chat", "kind": "slack", "kinds": ["digest"], "teams": []}"#, false),
        (r#"{"id": "chat", "kind": "slack", "kinds": ["digest"], "quiet": "18-8"}"#, false),
        (r#"{"id": "chat", "kind": "slack", "kinds": ["digest"], "url": "https://hooks.slack.com/x"}"#, false),
    ] {
        let json = format!(
            r#"{{"version": 1, "repositories": ["a/b"], "channels": [{channel}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        );
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {json}");
        assert_eq!(parse(&json).is_ok(), valid, "reader: {json}");
    }
}

fn with_channels(channels: &str) -> String {
    format!("version: 1\nrepositories: [a/b]\nchannels:\n{channels}\nteams:\n  - {{ slug: pay, members: [] }}\n")
}

#[test]
fn channels_are_read_with_what_they_get() {
    let file = parse(&with_channels(
        "  - { id: chat, kind: slack, teams: [pay], kinds: [goal, digest, goal], quiet: '18:00-08:00', weekends: false }
  - { id: ops, kind: email, kinds: [operations], titles: false }",
    ))
    .expect("valid");
    let lines: Vec<String> = file.channels.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "chat: slack, digest and goal, pay, quiet 18:00-08:00, not on weekends",
            "ops: email, operations, all teams, without titles"
        ]
    );
    let stored = serde_json::to_value(&file.channels).expect("serializes");
    let read: Vec<ChannelEntry> = serde_json::from_value(stored).expect("reads back");
    assert_eq!(read, file.channels);
}

#[test]
fn wrong_channels_say_where_and_what_to_do() {
    for (channels, place, message) in [
        ("  - { id: a, kind: slack, kinds: [digest], quiet: '8:00-9:00' }", "channels[0].quiet", "not hours of a day"),
        (
            "  - { id: a, kind: slack, kinds: [digest], quiet: '08:00-08:00' }",
            "channels[0].quiet",
            "not hours of a day",
        ),
        (
            "  - { id: a, kind: slack, kinds: [digest], teams: [gone] }",
            "channels[0].teams[0]",
            "there is no team `gone`",
        ),
        ("  - { id: a, kind: slack, kinds: [operations], teams: [pay] }", "channels[0].teams", "about no team"),
        (
            "  - { id: a, kind: slack, kinds: [goal] }\n  - { id: a, kind: discord, kinds: [goal] }",
            "channels[1]",
            "another channel `a`",
        ),
    ] {
        let found = problems(&with_channels(channels)).to_string();
        assert!(found.contains(place) && found.contains(message), "{channels}: {found}");
    }
}

#[test]
fn a_channel_with_an_address_in_the_file_is_refused() {
    for key in
        ["url: 'https://hooks.slack.com/s'", "to: [ana@example.com]", "secret: whsec_x", "webhook: 'https://x.example'"]
    {
        let found =
            problems(&with_channels(&format!("  - {{ id: a, kind: slack, kinds: [digest], {key} }}"))).to_string();
        assert!(found.contains("is a secret, and the file is not the place for it"), "{found}");
        assert!(found.contains("CHANNELS"), "{found}");
    }
    for line in [
        "{ id: a, kind: slack, kinds: [digest], url: 'https://hooks.slack.com/s3cret' }",
        "{ id: a, kind: slack, kinds: [digest], address_of_it: 'https://hooks.slack.com/s3cret' }",
        "{ id: 'https://hooks.slack.com/s3cret', kind: slack, kinds: [digest] }",
        "{ id: a, kind: 'whsec_s3cret', kinds: [digest] }",
        "{ id: a, kind: email, kinds: ['s3cret@example.com'] }",
    ] {
        let found = problems(&with_channels(&format!("  - {line}"))).to_string();
        assert!(found.contains("is a secret") && !found.contains("s3cret"), "{line}: {found}");
    }
}

#[test]
fn kinds_of_work_are_read_in_order_and_say_what_is_wrong() {
    let with = |rules: &str| {
        format!("version: 1\nrepositories: [a/b]\ninvestment:\n{rules}\nteams:\n  - {{ slug: pay, members: [] }}\n")
    };
    let file = parse(&with(
        "  - { category: rework, rework: true }\n  - { category: Upkeep, labels: [chore, Deps], titles: ['Bump *'] }",
    ))
    .expect("valid");
    let lines: Vec<String> = file.investment.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["rework: rework", "Upkeep: labels chore | Deps, titles Bump *"]);
    let stored = serde_json::to_value(&file.investment).expect("serializes");
    let read: Vec<InvestmentEntry> = serde_json::from_value(stored).expect("reads back");
    assert_eq!(read, file.investment);
    for (rule, place, message) in [
        ("{ category: a }", "investment[0]", "takes no pull request"),
        ("{ category: uncategorized, rework: true }", "investment[0].category", "taken"),
        ("{ category: a, labels: [] }", "investment[0].labels", "empty"),
    ] {
        let found = problems(&with(&format!("  - {rule}"))).to_string();
        assert!(found.contains(place) && found.contains(message), "{rule}: {found}");
    }
}

#[test]
fn the_schema_and_the_reader_agree_about_metrics() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    let of = |rest: &str| format!(r#"{{"id": "a", "of": "pull_requests", {rest}}}"#);
    for (metric, valid) in [
        (of(r#""statistic": "count""#), true),
        (of(r#""statistic": "weight", "by": "month", "name": "All", "when": {}"#), true),
        (of(r#""statistic": "count", "measure": "pickup""#), false),
        (of(r#""statistic": "count", "than": {}"#), false),
        (of(r#""statistic": "share", "when": {"labels": ["docs"]}, "than": {}"#), true),
        (of(r#""statistic": "share", "when": {"labels": ["docs"]}"#), false),
        (of(r#""statistic": "share", "when": {}, "than": {"lines": {"at_least": 9}}"#), false),
        (of(r#""statistic": "share", "than": {}"#), false),
        (
            of(
                r#""statistic": "p75", "measure": "pickup", "when": {"reviewed": true, "cycle_time": {"at_most": "7d"}}"#,
            ),
            true,
        ),
        (of(r#""statistic": "p75""#), false),
        (of(r#""statistic": "p99", "measure": "pickup""#), false),
        (of(r#""statistic": "mean", "measure": "mood""#), false),
        (of(r#""statistic": "mean", "measure": "lines", "than": {}"#), false),
        (of(r#""statistic": "count", "by": "day""#), false),
        (of(r#""statistic": "count", "when": {"author": ["ana"]}"#), false),
        (of(r#""statistic": "count", "when": {"not": {"titles": ["Bump *"], "files": {"at_most": 1}}}"#), true),
        (of(r#""statistic": "count", "when": {"not": {}}"#), false),
        (of(r#""statistic": "count", "when": {"not": {"not": {"draft": true}}}"#), false),
        (of(r#""statistic": "count", "when": {"not": {"state": ["closed"]}}"#), false),
        (of(r#""statistic": "count", "when": {"state": ["closed", "merged"]}"#), true),
        (of(r#""statistic": "count", "when": {"state": ["open"]}"#), false),
        (of(r#""statistic": "count", "when": {"state": []}"#), false),
        (of(r#""statistic": "count", "when": {"lines": {}}"#), false),
        (of(r#""statistic": "count", "when": {"lines": {"at_least": "4h"}}"#), false),
        (of(r#""statistic": "count", "when": {"pickup": {"at_least": 4}}"#), false),
        (of(r#""statistic": "count", "when": {"labels": []}"#), false),
        (of(r#""statistic": "count", "basis": "owned""#), false),
        (of(r#""statistic": "count", "when": {"services": ["shop"]}"#), false),
        (of(r#""statistic": "p50", "measure": "wait""#), false),
        (of(r#""statistic": "count", "when": {"state": ["failed"]}"#), false),
        (r#"{"id": "a", "of": "deployments", "statistic": "count"}"#.to_owned(), true),
        (r#"{"id": "a", "of": "deployments", "basis": "owned", "statistic": "share", "when": {"failure": true, "kinds": ["change"]}, "than": {}}"#.to_owned(), true),
        (r#"{"id": "a", "of": "deployments", "statistic": "count", "when": {"state": ["failed", "succeeded"], "not": {"services": ["shop-*"]}}}"#.to_owned(), true),
        (r#"{"id": "a", "of": "deployments", "basis": "all", "statistic": "count"}"#.to_owned(), false),
        (r#"{"id": "a", "of": "deployments", "statistic": "count", "when": {"lines": {"at_most": 4}}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "deployments", "statistic": "count", "when": {"not": {"titles": ["x"]}}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "deployments", "statistic": "count", "when": {"kinds": ["rollout"]}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "deployments", "statistic": "mean", "measure": "pull_requests"}"#.to_owned(), true),
        (r#"{"id": "a", "of": "incidents", "basis": "delivered", "statistic": "p90", "measure": "recovery_time", "when": {"severities": ["critical", "high"]}}"#.to_owned(), true),
        (r#"{"id": "a", "of": "incidents", "statistic": "count", "when": {"state": ["started"], "deployment": true, "labels": ["sev1"]}}"#.to_owned(), true),
        (r#"{"id": "a", "of": "incidents", "statistic": "count", "when": {"state": ["started", "resolved"]}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "incidents", "statistic": "count", "when": {"severities": ["sev1"]}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "reviews", "statistic": "p50", "measure": "wait", "when": {"internal": false, "lines": {"at_least": 400}}}"#.to_owned(), true),
        (r#"{"id": "a", "of": "reviews", "statistic": "count", "when": {"state": ["merged"]}}"#.to_owned(), false),
        (r#"{"id": "a", "of": "reviews", "statistic": "count", "when": {"reviewer": ["ana"]}}"#.to_owned(), false),
        (r#"{"id": "a", "statistic": "count"}"#.to_owned(), false),
        (r#"{"id": "A b", "of": "pull_requests", "statistic": "count"}"#.to_owned(), false),
    ] {
        let json = format!(
            r#"{{"version": 1, "repositories": ["a/b"], "metrics": [{metric}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        );
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {json}");
        assert_eq!(parse(&json).is_ok(), valid, "reader: {json}");
    }
}

#[test]
fn a_goal_is_about_a_metric_that_is_a_share_by_week() {
    let goal = "goals:\n  - { id: small-ones, form: metric, metric: small, share: 0.8 }\n";
    let with_goal = |metric: &str| with_metrics(&format!("  - {metric}\n{goal}"));
    let share = "{ id: small, of: pull_requests, statistic: share, when: { lines: { at_most: 400 } }, than: {} }";
    let file = parse(&with_goal(share)).expect("valid");
    assert_eq!(file.goals[0].to_string(), "small-ones: the metric small is at least 80%, all teams");
    let json = json_schema();
    let validator = jsonschema::validator_for(&json).expect("a valid schema");
    for (goal, valid) in [
        (r#"{"id": "a", "form": "metric", "metric": "small", "share": 0.8}"#, true),
        (r#"{"id": "a", "form": "metric", "share": 0.8}"#, false),
        (r#"{"id": "a", "form": "metric", "metric": "small"}"#, false),
        (r#"{"id": "a", "form": "metric", "metric": "small", "share": 0.8, "measure": "pickup"}"#, false),
        (r#"{"id": "a", "form": "limit", "metric": "small", "open": 3}"#, false),
    ] {
        let metric =
            r#"{"id": "small", "of": "pull_requests", "statistic": "share", "when": {"draft": false}, "than": {}}"#;
        let text = format!(
            r#"{{"version": 1, "repositories": ["a/b"], "metrics": [{metric}], "goals": [{goal}], "teams": [{{"slug": "pay", "members": []}}]}}"#
        );
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(validator.is_valid(&value), valid, "schema: {goal}");
        assert_eq!(parse(&text).is_ok(), valid, "reader: {goal}");
    }
    for (metric, message) in [
        ("{ id: small, of: pull_requests, statistic: count }", "the metric `small` is no share"),
        (
            "{ id: small, of: pull_requests, statistic: share, when: { draft: true }, than: {}, by: month }",
            "the metric `small` is not by week",
        ),
    ] {
        let found = problems(&with_goal(metric)).to_string();
        assert!(found.contains(message) && found.contains("goals[0]"), "{found}");
    }
}

fn with_metrics(metrics: &str) -> String {
    format!("version: 1\nrepositories: [a/b]\nmetrics:\n{metrics}teams:\n  - {{ slug: pay, members: [] }}\n")
}

#[test]
fn metrics_say_what_they_mean() {
    let file = parse(&with_metrics(
        "  - { id: fails, of: deployments, basis: owned, statistic: share, when: { failure: true }, than: { kinds: [change] } }\n  \
         - { id: repairs, of: incidents, statistic: p90, measure: recovery_time, when: { severities: [high] } }\n  \
         - { id: opened, of: incidents, basis: owned, statistic: count, when: { state: [started] } }\n  \
         - { id: inside, of: reviews, statistic: weight, when: { internal: true } }\n  \
         - { id: failed, of: deployments, statistic: count, when: { state: [succeeded, failed] } }\n  \
         - { id: docs-share, name: Documentation, of: pull_requests, statistic: share, when: { labels: [docs, Chore] }, \
         than: { not: { titles: ['Bump *'] } } }\n  - id: slow\n    of: pull_requests\n    statistic: p75\n    measure: pickup\n    \
         when: { lines: { at_least: 400 }, pickup: { at_most: 7d }, reviewed: false, state: [merged, closed] }\n    by: month\n",
    ))
    .expect("valid");
    let formulas: Vec<String> = file.metrics.iter().map(CustomMetric::formula).collect();
    assert_eq!(
        formulas,
        [
            "the weighted part of (deployments of the team's services that succeeded: kinds change) that has: failure; by week of the \
             deployment",
            "the weighted p90 of recovery time of incidents of the team's deployments that were resolved: severities high; by week of \
             the resolution",
            "the number of incidents of the team's services that started; by week of the start",
            "the sum of the weights of reviews of the team's pull requests: internal; by week of the review",
            "the number of deployments that succeeded or failed; by week of the deployment",
            "the weighted part of (pull requests that were merged: without titles Bump *) that has: labels Chore | docs; by week of \
             the merge",
            "the weighted p75 of pickup of pull requests that were merged or closed: pickup at most 7 d, lines at least 400, not \
             reviewed; by month of the merge or close",
        ]
    );
    let stored = serde_json::to_value(&file.metrics).expect("serializes");
    let read: Vec<CustomMetric> = serde_json::from_value(stored).expect("reads back");
    assert_eq!(read, file.metrics);
}

#[test]
fn metrics_say_what_is_wrong_with_them() {
    for (metric, place, message) in [
        ("{ id: a, of: deployments, statistic: p50 }", "metrics[0].measure", "add one of recovery_time, pull_requests"),
        (
            "{ id: a, of: deployments, statistic: p50, measure: pickup }",
            "metrics[0].measure",
            "deployments have no `pickup`",
        ),
        (
            "{ id: a, of: deployments, statistic: count, when: { not: { titles: [x] } } }",
            "metrics[0].when.not.titles",
            "use one of services, kinds, recovery_time, pull_requests, failure, rework",
        ),
        (
            "{ id: a, of: deployments, statistic: count, when: { kinds: [rollout] } }",
            "metrics[0].when.kinds[0]",
            "write one of first, change, rollback, redeploy, unknown",
        ),
        (
            "{ id: a, of: deployments, statistic: mean, measure: pull_requests, when: { state: [failed] } }",
            "metrics[0].measure",
            "only what is `succeeded` has a `pull_requests`",
        ),
        (
            "{ id: a, of: deployments, statistic: count, when: { state: [failed], not: { kinds: [first] } } }",
            "metrics[0].when",
            "only what is `succeeded` has `kinds`",
        ),
        (
            "{ id: a, of: pull_requests, statistic: share, when: { draft: true }, than: { state: [closed], cycle_time: { at_most: 4h } } }",
            "metrics[0].than",
            "only what is `merged` has `cycle_time`",
        ),
        (
            "{ id: a, of: incidents, statistic: count, when: { services: [acme/web] } }",
            "metrics[0].when.services[0]",
            "is `acme.web`",
        ),
        (
            "{ id: a, of: reviews, statistic: share, when: { internal: true }, than: { internal: true } }",
            "metrics[0].when",
            "always 1",
        ),
        (
            "{ id: a, of: reviews, basis: owned, statistic: count }",
            "metrics[0].basis",
            "reviews are a team's by their author",
        ),
        (
            "{ id: a, of: reviews, statistic: count, when: { state: [merged] } }",
            "metrics[0].when.state[0]",
            "reviews are never `merged`",
        ),
        (
            "{ id: a, of: incidents, statistic: count, when: { state: [resolved, started] } }",
            "metrics[0].when",
            "counted twice",
        ),
        ("{ id: a, of: issues, statistic: count }", "metrics[0].of", "unknown word `issues`"),
        (
            "{ id: a, of: pull_requests, statistic: count, when: { author: [ana] } }",
            "metrics[0].when.author",
            "unknown key",
        ),
        (
            "{ id: a, of: pull_requests, statistic: count, when: { not: { labels: 7 } } }",
            "when.not.labels",
            "expected a list",
        ),
        ("{ id: a, of: pull_requests, statistic: count, when: { not: {} } }", "metrics[0].when.not", "names no field"),
        ("{ id: a, of: pull_requests, statistic: p50 }", "metrics[0].measure", "needs `measure`"),
        ("{ id: a, of: pull_requests, statistic: share, when: { draft: true } }", "metrics[0].than", "needs `than`"),
        ("{ id: a, of: pull_requests, statistic: share, than: {} }", "metrics[0].when", "always 1"),
        (
            "{ id: a, of: pull_requests, statistic: share, when: { state: [closed] }, than: {} }",
            "metrics[0].when",
            "takes nothing of what `than` takes",
        ),
        (
            "{ id: a, of: pull_requests, statistic: mean, measure: review, when: { state: [closed] } }",
            "metrics[0].measure",
            "only what is `merged` has a `review`",
        ),
        (
            "{ id: a, of: pull_requests, statistic: count, when: { lines: { at_least: 9, at_most: 8 } } }",
            "metrics[0].when.lines",
            "nothing is in this range",
        ),
        (
            "{ id: a, of: pull_requests, statistic: count, when: { pickup: { at_most: 400d } } }",
            "metrics[0].when.pickup.at_most",
            "400d",
        ),
    ] {
        let found = problems(&with_metrics(&format!("  - {metric}\n"))).to_string();
        assert!(found.contains(place) && found.contains(message), "{metric}: {found}");
    }
}

/// The text that the page's form makes in a test of its own, crates/dashboard/ui/test/metrics.test.ts.
#[test]
fn what_the_pages_form_writes_is_read() {
    let lines = r#"metrics:
  - id: docs-share
    name: "Docs: all"
    of: pull_requests
    statistic: share
    when: { labels: ["docs", "\"odd\" label", "Chore"], not: { titles: ["Bump: *"] }, lines: { at_least: 10, at_most: 400 } }
    than: { pickup: { at_most: 4h }, state: [merged, closed], not: { draft: false } }
    by: month"#;
    let file = parse(&format!("version: 1\nrepositories: [a/b]\n{lines}\nteams:\n  - {{ slug: pay, members: [] }}\n"));
    let metric = &file.expect("valid").metrics[0];
    assert_eq!(metric.name, "Docs: all");
    assert!(
        metric.formula().contains("that has: labels \"odd\" label | Chore | docs, lines at least 10 and at most 400")
    );
}

#[test]
fn the_id_of_a_metric_changes_with_its_meaning_only() {
    let id = |metric: &str| parse(&with_metrics(&format!("  - {metric}\n"))).expect("valid").metrics[0].versioned_id();
    let known = id("{ id: a, of: pull_requests, statistic: count, when: { labels: [x, y] } }");
    assert_eq!(known, "a@ed5f74ca");
    for same in [
        "{ id: a, name: Other, of: pull_requests, statistic: count, when: { labels: [x, y] } }",
        "{ id: a, of: pull_requests, by: week, statistic: count, when: { labels: [y, x, y] } }",
    ] {
        assert_eq!(id(same), known, "{same}");
    }
    for other in [
        "{ id: b, of: pull_requests, statistic: count, when: { labels: [x, y] } }",
        "{ id: a, of: pull_requests, statistic: weight, when: { labels: [x, y] } }",
        "{ id: a, of: pull_requests, statistic: count, when: { labels: [x] } }",
        "{ id: a, of: pull_requests, statistic: count, when: { not: { labels: [x, y] } } }",
        "{ id: a, of: pull_requests, statistic: count, by: month, when: { labels: [x, y] } }",
        "{ id: a, of: reviews, statistic: count, when: { labels: [x, y] } }",
    ] {
        assert_ne!(id(other), known, "{other}");
    }
    let [delivered, same, owned] = ["", "basis: delivered, ", "basis: owned, "]
        .map(|basis| id(&format!("{{ id: a, of: deployments, {basis}statistic: count }}")));
    assert_eq!(delivered, same, "what is said is what is meant in any case");
    assert_ne!(delivered, owned);
}

#[test]
fn metrics_are_few_different_and_by_week_where_groups_are_hidden() {
    let line = |id: usize| format!("  - {{ id: m{id}, of: pull_requests, statistic: count }}\n");
    let lines = |n: usize| (0..n).map(line).collect::<String>();
    assert_eq!(parse(&with_metrics(&lines(20))).expect("valid").metrics.len(), 20);
    assert!(problems(&with_metrics(&lines(21))).to_string().contains("there are 21 metrics"));
    let twice = problems(&with_metrics(&(line(1) + &line(1)))).to_string();
    assert!(twice.contains("there is another metric `m1`"), "{twice}");
    let monthly = "  - { id: a, of: pull_requests, statistic: count, by: month }\n";
    assert!(parse(&with_metrics(monthly)).is_ok());
    let hidden = with_metrics(monthly).replace("metrics:", "privacy: { min_group_size: 3 }\nmetrics:");
    assert!(problems(&hidden).to_string().contains("only whole weeks are shown"));
    for of in ["deployments", "incidents"] {
        let delivered = format!("  - {{ id: a, of: {of}, statistic: count }}\n");
        assert!(parse(&with_metrics(&delivered)).is_ok());
        let hidden = with_metrics(&delivered).replace("metrics:", "privacy: { min_group_size: 3 }\nmetrics:");
        let found = problems(&hidden).to_string();
        assert!(found.contains("tells whose pull requests they were"), "{found}");
        assert!(parse(&hidden.replace("statistic", "basis: owned, statistic")).is_ok());
    }
}

/// Walks from the schema of a metric to everything that it refers to.
#[test]
fn no_field_of_a_metric_is_of_a_person() {
    let schema = json_schema();
    let (mut seen, mut left, mut keys) = (BTreeSet::new(), vec!["Metric".to_owned()], BTreeSet::new());
    while let Some(name) = left.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let definition = &schema["$defs"][&name];
        keys.extend(definition["properties"].as_object().expect("a mapping").keys().cloned());
        assert_eq!(definition["additionalProperties"], false, "{name} takes known fields only");
        let text = definition.to_string();
        left.extend(text.split("#/$defs/").skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
    }
    assert_eq!(seen, BTreeSet::from(["Metric", "MetricWhen", "TimeRange", "SizeRange"].map(str::to_owned)));
    let words = [
        "author", "login", "person", "people", "member", "reviewer", "user", "assignee", "account", "email", "github",
        "team", "who", "by_", "hour", "weekday",
    ];
    for key in &keys {
        assert!(words.iter().all(|word| !key.contains(word)), "`{key}` may be of a person");
        // What the reader knows besides is nothing.
        let known =
            metrics::METRIC_KEYS.iter().chain(metrics::FIELD_KEYS).chain(metrics::RANGE_KEYS).chain(&["state", "not"]);
        assert!(known.into_iter().any(|name| name == key), "`{key}` is not read");
    }
    for word in ["author", "authors", "reviewer", "person", "login", "team", "assignee"] {
        for place in ["when", "than"] {
            let metric =
                format!("  - {{ id: a, of: pull_requests, statistic: count, {place}: {{ {word}: [ana] }} }}\n");
            assert!(problems(&with_metrics(&metric)).to_string().contains("unknown key"), "{metric}");
        }
    }
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = include_str!("../../../../docs/teams.schema.json");
    let generated = format!("{:#}\n", json_schema());
    assert_eq!(committed, generated, "run `cargo run -- teams schema > docs/teams.schema.json`");
}

#[test]
fn a_former_slug_must_not_be_in_use() {
    let teams = |teams: &str| format!("version: 1\nrepositories: [a/b]\nteams:\n{teams}");
    let renamed = parse(&teams("  - { slug: checkout, renamed_from: pay, members: [] }\n")).expect("valid");
    assert_eq!(renamed.teams[0].renamed_from, Some("pay".parse().expect("a slug")));
    for wrong in [
        "  - { slug: pay, renamed_from: pay, members: [] }\n",
        "  - { slug: checkout, renamed_from: pay, members: [] }\n  - { slug: pay, members: [] }\n",
        "  - { slug: one, renamed_from: pay, members: [] }\n  - { slug: two, renamed_from: pay, members: [] }\n",
    ] {
        assert_eq!(codes(&teams(wrong)), ["config.renamed_from"], "{wrong}");
    }
    assert_eq!(codes(&teams("  - { slug: one, renamed_from: Pay, members: [] }\n")), ["config.team_slug"]);
}

#[test]
fn exclusions_apply_to_the_patterns_before_them() {
    let read =
        |repositories: &str| parse(&with_top(&format!("version: 1\nrepositories: {repositories}"))).expect("valid");
    let file = read("[acme/*, '!acme/mirror', \"!acme/*-archive\", acme/web, '!acme/web', acme/api-archive]");
    assert_eq!(file.rules.to_string(), "acme/*, !acme/mirror, !acme/*-archive, !acme/web");
    assert_eq!(file.repositories.iter().map(ToString::to_string).collect::<Vec<_>>(), ["acme/api-archive"]);
    let variables = TeamsFile::parse_variables(
        r#"[{"slug": "pay", "members": [{"github": "ana"}]}]"#,
        "acme/*, !acme/mirror,!acme/*-archive, acme/web, !acme/web, acme/api-archive",
    )
    .expect("valid");
    assert_eq!((variables.rules, variables.repositories), (file.rules, file.repositories));
}

#[test]
fn an_entry_may_be_repeated_after_an_exclusion() {
    let of = |repositories: &str| with_top(&format!("version: 1\nrepositories: {repositories}"));
    for (list, rules, names) in [
        ("[acme/*, '!acme/x-*', acme/x-1]", "acme/*, !acme/x-*", "acme/x-1"),
        ("[acme/x-1, acme/*, '!acme/x-*', acme/x-1]", "acme/*, !acme/x-*", "acme/x-1"),
        ("[acme/x-*, '!acme/*', acme/x-*]", "acme/x-*", ""),
        ("[acme/*, '!acme/x-*', acme/x-1*, '!acme/x-*']", "acme/*, acme/x-1*, !acme/x-*", ""),
    ] {
        let file = parse(&of(list)).unwrap_or_else(|problems| panic!("{list}: {problems}"));
        let named: Vec<_> = file.repositories.iter().map(ToString::to_string).collect();
        assert_eq!((file.rules.to_string().as_str(), named.join(" ").as_str()), (rules, names), "{list}");
    }
    for twice in ["[acme/*, acme/*]", "[acme/*, '!other/x', acme/*]", "[acme/api, acme/*, '!acme/web', acme/api]"] {
        assert!(codes(&of(twice)).contains(&"config.duplicate_repo"), "{twice}");
    }
}

#[test]
fn useless_or_unquoted_exclusions_are_refused() {
    let of = |repositories: &str| with_top(&format!("version: 1\nrepositories: {repositories}"));
    assert_eq!(codes(&of("['!acme/mirror', acme/*]")), ["config.exclusion"]);
    assert_eq!(codes(&of("[acme/*, '!other/mirror']")), ["config.exclusion"]);
    assert_eq!(codes(&of("[acme/api, '!acme/api']")), ["config.empty"]);
    for all in [
        "[acme/*, '!acme/*']",
        "[acme/x-*, '!acme/x*']",
        "[acme/*, acme/api, '!acme/*']",
        "[acme/a*, '!acme/*', other/*, '!other/*']",
    ] {
        assert_eq!(codes(&of(all)), ["config.empty"], "{all}");
    }
    let found = problems(&of("[acme/*, '!acme/*']")).list.remove(0);
    assert_eq!(found.message, "`!acme/*` excludes everything from `acme/*`: no repositories are configured");
    for some in [
        "[acme/*, '!acme/*', acme/web]",
        "[acme/*, '!acme/x-*']",
        "[acme/*, '!acme/*-x']",
        "[acme/*, '!acme/*', other/*]",
    ] {
        assert!(parse(&of(some)).is_ok(), "{some}");
    }
    assert_eq!(codes(&of("[acme/*, '!acme']")), ["config.repo_syntax"]);
    let unquoted = problems(&of("[acme/*, !acme/mirror]"));
    assert_eq!(unquoted.list[0].code, "config.syntax");
    assert_eq!(unquoted.list[0].help.as_deref(), Some("write \"!acme/mirror\""));
}

#[test]
fn common_mistakes_are_answered_with_the_fix() {
    let of = |text: &str| problems(text).list.into_iter().next_back().expect("a problem");
    let weight = |weight: &str| with_members(&format!("      - github: ana\n        weight: {weight}\n"));
    let zone = |zone: &str| with_top(&format!("version: 1\ntimezone: {zone}\nrepositories: [a/b]"));
    for (text, code, help) in [
        (with_members("      - { github: null }\n"), "config.missing_key", "`github: \"null\"`"),
        (with_members("      - { github: ana, weight: 0,5 }\n"), "config.unknown_key", "`weight: 0.5`"),
        (
            with_members("      - github: ana\n        weight: 0,5\n"),
            "config.type",
            "write decimals with a point: `weight: 0.5`",
        ),
        (with_members("      - github:\u{a0}ana\n"), "config.type", ""),
        (with_members("      - github: ana\n        weight:\u{a0}0.5\n"), "config.syntax", "U+00A0"),
        (with_members("      - { github: \u{430}na }\n"), "config.login_syntax", "write `ana`"),
        (with_members("      - { github: ana, weight: 1,0 }\n"), "config.unknown_key", "`weight: 1.0`"),
        (with_members("      - { github: ana, weight: 0,25 }\n"), "config.unknown_key", "`weight: 0.25`"),
        (with_members("      - { github: ana, weight: 1,5 }\n"), "config.unknown_key", "with a point, `weight: 0.5`"),
        (with_members("      - { github: ana, id: 1,234 }\n"), "config.unknown_key", "`id: 1234`"),
        (weight("\"0,5\""), "config.type", "write `weight: 0.5`, without quotes"),
        (weight("\"0.5\""), "config.type", "write `weight: 0.5`, without quotes"),
        (weight("\"50 %\""), "config.type", "write `weight: 0.5`, without quotes"),
        (weight("12.5%"), "config.type", "write `weight: 0.125`"),
        (weight("100 %"), "config.type", "write `weight: 1`"),
        (weight("150 %"), "config.type", "write a decimal number"),
        (
            weight("\"0.5\u{a0}\""),
            "config.type",
            "write `weight: 0.5`, without quotes; it has the invisible character U+00A0",
        ),
        (weight("0.5\u{a0}"), "config.type", "write `weight: 0.5`; it has the invisible character U+00A0"),
        (weight("\"half\u{200b}\""), "config.type", "without quotes and spaces; it has the invisible character U+200B"),
        (zone("GMT+1"), "config.timezone", "Europe/Oslo"),
        (zone("GMT 1"), "config.timezone", "Europe/Oslo"),
        (zone("utc +2"), "config.timezone", "Europe/Oslo"),
        (zone("CEST"), "config.timezone", "Europe/Oslo"),
        (zone("PST"), "config.timezone", "Europe/Oslo"),
        (zone("Utc"), "config.timezone", "did you mean `UTC`?"),
        (zone("Europe/Olso"), "config.timezone", "did you mean `Europe/Oslo`?"),
        (zone("UTC-05:30"), "config.timezone", "Europe/Oslo"),
        (
            with_top("version: 1\nrepositories: [https://github.com/acme/web/pulls]"),
            "config.repo_syntax",
            "write `acme/web`",
        ),
        (
            with_top("version: 1\nrepositories: [https://github.com/orgs/acme/repositories]"),
            "config.repo_syntax",
            "`acme/*`",
        ),
        (with_top("version: 1\nrepositories: ['https://github.com/acme/*']"), "config.repo_syntax", "write `acme/*`"),
        (with_members("      - { github: https://github.com/octocat }\n"), "config.login_syntax", "write `octocat`"),
        (with_top("version: 1\nrepositories: ['acme/*x*']"), "config.repo_syntax", "write it as `owner/prefix-*`"),
        (with_top("version: 1\nrepositories:"), "config.missing_key", "an empty list is `repositories: []`"),
        (weight("0"), "config.weight_range", "end the membership with `to: DATE`"),
    ] {
        let problem = of(&text);
        assert_eq!(problem.code, code, "{text}: {problem:?}");
        assert!(problem.help.as_ref().is_some_and(|found| found.contains(help)), "{text}: {problem:?}");
        // The suggested value is accepted.
        let advised = problem.help.as_ref().and_then(|help| help.split('`').find_map(|it| it.strip_prefix("weight: ")));
        assert!(advised.is_none_or(|advised| advised.parse::<Weight>().is_ok()), "{text}: {problem:?}");
    }
}

#[test]
fn a_key_without_a_value_is_refused() {
    for key in ["id", "weight", "from", "to"] {
        let list = problems(&with_members(&format!("      - github: ana\n        {key}:\n"))).list;
        let found: Vec<_> = list.iter().map(|it| (it.code, it.message.as_str())).collect();
        assert_eq!(found, [("config.missing_key", format!("`{key}` has no value").as_str())]);
        assert_eq!(list[0].help, Some(format!("write one: `{key}: …`, or remove `{key}`")));
    }
    for key in ["timezone", "bots", "include_archived", "allow_weights_above_one", "privacy"] {
        let list = problems(&with_top(&format!("version: 1\nrepositories: [a/b]\n{key}: null"))).list;
        assert_eq!(list.iter().map(|it| it.code).collect::<Vec<_>>(), ["config.missing_key"], "{key}");
    }
    assert_eq!(
        codes(&with_top("version: 1\nrepositories: [a/b]\nprivacy: { min_group_size: ~ }")),
        ["config.missing_key"]
    );
    // The API's response about a team has nulls for unset values.
    let answered =
        r#"[{ "slug": "pay", "name": null, "members": [{ "github": "ana", "joined_at": null, "left_at": null }] }]"#;
    let file = TeamsFile::parse_variables(answered, "acme/api").expect("valid");
    assert_eq!(file.teams[0].members[0].period, Period::ALWAYS);
}

#[test]
fn a_member_has_accounts_at_several_forges() {
    let text = with_members("      - { github: ana, gitlab: Ana.Smith, id: 7 }\n      - { gitlab: ben, id: 8 }\n");
    let file = parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let members: Vec<(Vec<String>, Option<ExternalId>)> = file.teams[0]
        .members
        .iter()
        .map(|member| (member.logins().map(Login::to_string).collect(), member.external_id.clone()))
        .collect();
    let ana = (vec!["ana".to_owned(), "gitlab:ana.smith".to_owned()], Some(7.into()));
    assert_eq!(members, [ana, (vec!["gitlab:ben".to_owned()], Some(8.into()))]);
    assert_eq!(file.instance(Forge::GitLab).url, "https://gitlab.com");
}

/// The code and message of each problem.
fn messages(text: &str) -> Vec<String> {
    problems(text).list.iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

#[test]
fn weights_of_all_accounts_of_a_person_count() {
    let text = "version: 1\nrepositories: [acme/api]\nteams:\n  - slug: pay\n    members: [{ github: ana, gitlab: ana }]\n  \
                - slug: web\n    members: [{ gitlab: ana, weight: 0.5 }]\n";
    assert_eq!(messages(text), ["config.weight_sum: the weights of `gitlab:ana` sum to 1.5 from the beginning"]);
    // Equal logins at two forges are two people unless a line joins them.
    assert!(parse(&text.replace("github: ana, gitlab: ana", "github: ana")).is_ok());
}

#[test]
fn accounts_of_two_people_are_refused() {
    let text = with_members(
        "      - { github: ana, gitlab: ana, to: 2026-01-01 }\n      - { github: ben, gitlab: ana, from: 2026-01-01 }\n      \
         - { github: ana, gitlab: other, from: 2026-01-01 }\n",
    );
    let expected = [
        "config.accounts: `ana` and `ben` would be two accounts of one person at one forge",
        "config.accounts: `gitlab:ana` and `gitlab:other` would be two accounts of one person at one forge",
    ];
    for message in expected {
        assert!(messages(&text).iter().any(|one| one == message), "{:?}", messages(&text));
    }
    // A renamed account has two logins with one number.
    let renamed = with_members(
        "      - { github: ana, id: 7, gitlab: ana, to: 2026-01-01 }\n      \
         - { github: ana-b, id: 7, gitlab: ana, from: 2026-01-01 }\n",
    );
    assert!(parse(&renamed).is_ok());
    // Renamed at both forges, and joined by the number at one of them.
    assert_eq!(codes(&renamed.replace("gitlab: ana, from", "gitlab: ana-b, from")), ["config.accounts"]);
    let joined_elsewhere = with_members(
        "      - { github: ana, gitlab: one }\n      - { gitlab: one, id: 5, to: 2020-01-01 }\n      \
         - { gitlab: two, id: 5, to: 2020-01-01 }\n      - { github: ben, gitlab: two, from: 2020-01-01 }\n",
    );
    assert!(codes(&joined_elsewhere).contains(&"config.accounts"));
}

#[test]
fn unusable_instances_are_refused_without_their_password() {
    let text = "version: 1\nrepositories: [acme/api]\ninstances:\n  - { forge: gitlab, url: https://gitlab.example.com/ }\n  \
                - { forge: gitlab, url: https://git.example.com }\n  - { forge: gitea, url: git.example.com }\n  \
                - { forge: github, url: https://me:hunter2@git.example.com }\nteams: [{ slug: pay, members: [{ github: ana }] }]\n";
    let expected = [
        "config.instance: there are two instances of `gitlab`",
        "config.instance: unknown forge `gitea`",
        "config.instance: this is not an address",
        "config.instance: the address has more than a host and a path",
    ];
    assert_eq!(messages(text), expected);
    assert!(
        problems(text).list.iter().all(|problem| problem.help.as_ref().is_none_or(|help| !help.contains("hunter2")))
    );
}

#[test]
fn access_lines_are_read_in_order_and_in_lower_case() {
    let file = parse(&with_top(
        "version: 1
repositories: [a/b]
access:
  - { group: Eng Managers, role: manager }
  - { group: payments, role: lead, teams: [pay] }
  - { email: Ana@Acme.com, role: admin, not_before: 2026-06-01 }
  - { domain: ACME.com, role: viewer }
  - { subject: 00u1, deny: true }",
    ))
    .expect("valid");
    let lines: Vec<String> = file.access.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "group Eng Managers: manager",
            "group payments: lead of pay",
            "email ana@acme.com: admin, for logins since 2026-06-01T00:00:00Z",
            "domain acme.com: viewer",
            "subject 00u1: nothing",
        ]
    );
}

#[test]
fn problems_of_access_have_places() {
    let of = |lines: &str| {
        let problems = problems(&with_top(&format!("version: 1\nrepositories: [a/b]\naccess: [{lines}]")));
        problems.list.iter().map(|it| format!("{} {}: {}", it.code, it.path, it.message)).collect::<Vec<_>>()
    };
    for (line, expected) in [
        ("{ group: eng, role: lead }", "config.access access[0]: a lead needs `teams`"),
        (
            "{ group: eng, role: manager, teams: [pay] }",
            "config.access access[0]: `teams` is for the roles `viewer` and `lead`",
        ),
        (
            "{ group: eng, role: viewer, teams: [shop] }",
            "config.access access[0].teams[0]: there is no team `shop` in this file",
        ),
        ("{ email: ana, role: viewer }", "config.access access[0].email: `ana` is not an e-mail address"),
        ("{ domain: localhost, role: viewer }", "config.access access[0].domain: `localhost` is not a domain"),
        ("{ group: eng, role: owner }", "config.access access[0].role: unknown role `owner`"),
        ("{ group: eng, role: viewer, scope: admin }", "config.unknown_key access[0].scope: unknown key `scope`"),
        (
            "{ group: eng, role: viewer }, { group: eng, role: manager }",
            "config.access access[1]: an earlier line is about group eng too, and the first one decides",
        ),
    ] {
        assert_eq!(of(line), [expected], "{line}");
    }
}

fn with_goals(goals: &str) -> String {
    format!(
        "version: 1\ntimezone: Europe/Oslo\nrepositories: [a/b]\ngoals:\n{goals}\nteams:\n  - {{ slug: pay, members: [] }}\n"
    )
}

#[test]
fn all_problems_of_one_entry_are_reported_at_once() {
    let found = problems(&with_goals("  - { id: a, team: gone, form: share, measure: pickup, within: 4x }"));
    let paths: Vec<&str> = found.list.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["goals[0].share", "goals[0].team", "goals[0].within"], "{found}");
    let found = problems(&with_channels("  - { id: a, kind: fax, kinds: [digest], teams: [gone] }")).to_string();
    for part in ["channels[0].kind", "channels[0].teams[0]", "there is no team `gone`"] {
        assert!(found.contains(part), "{found}");
    }
}

#[test]
fn an_empty_file_says_how_to_begin_one() {
    for text in ["", "# nothing yet\n", "---\n"] {
        let found = problems(text);
        assert_eq!(found.list.len(), 1, "{found}");
        let (code, help) = (found.list[0].code, found.list[0].help.clone().unwrap_or_default());
        assert_eq!(code, "config.empty", "{found}");
        for part in ["mergeline init", "version: 1", "repositories: [acme/api]", "teams: [{ slug: payments"] {
            assert!(help.contains(part), "{found}");
        }
    }
}

#[test]
fn goals_are_read_with_their_clock_and_revisions() {
    let file = parse(&with_goals(
        "  - { id: first-review, team: pay, form: share, measure: pickup, within: 1d, share: 0.75, to: 2026-06-01 }\n  \
         - id: first-review\n    team: pay\n    form: share\n    measure: pickup\n    within: 4h\n    share: 0.8\n    \
         sentence: We look at each other's work on the same day.\n    clock: working\n    hours: \"09:00-17:00\"\n    \
         days: [fri, mon]\n    free: [2026-12-24]\n    from: 2026-06-01\n  \
         - { id: no-old-ones, form: each, measure: age, within: 7d }\n  - { id: few, form: limit, open: 10 }",
    ))
    .expect("valid");
    let lines: Vec<String> = file.goals.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "first-review: 75% get their first review within 1 d, team pay, to 2026-05-31T22:00Z",
            "first-review: 80% get their first review within 4 h of work, team pay, from 2026-05-31T22:00Z",
            "no-old-ones: all are merged or closed within 7 d, all teams",
            "few: at most 10 open, all teams",
        ]
    );
    let Clock::Working(hours) = &file.goals[1].clock else { panic!("{:?}", file.goals[1]) };
    assert_eq!((hours.days.as_slice(), hours.free.len()), ([Weekday::Mon, Weekday::Fri].as_slice(), 1));
    let stored = serde_json::to_value(&file.goals).expect("serializes");
    assert_eq!(stored[0]["form"], "share");
    let read: Vec<GoalEntry> = serde_json::from_value(stored).expect("deserializes");
    assert_eq!(read, file.goals);
}

/// The revisions of a team's only goal, after files with these goals were applied in the first days of June 2026.
fn revisions(team: &str, files: &[&str]) -> Vec<String> {
    let configured = |(day, goals): (i64, &&str)| {
        let text = with_goals(goals).replace("goals:\n\n", "").replace("Europe/Oslo", "UTC");
        let applied_at = "2026-06-01T12:00:00Z".parse::<DateTime<Utc>>().expect("an instant") + TimeDelta::days(day);
        ConfiguredGoals { applied_at, goals: parse(&text).expect("valid").goals }
    };
    let files: Vec<ConfiguredGoals> = (0..).zip(files).map(configured).collect();
    let goals = goals_of_team(&files, &team.parse().expect("a slug"));
    assert!(goals.len() <= 1, "{goals:?}");
    let shown = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| at.format("%d %Hh").to_string());
    let line = |it: &GoalRevision| format!("{} {}..{}", it.asks(), shown(it.in_force.from()), shown(it.in_force.to()));
    goals.iter().flat_map(|goal| &goal.revisions).map(line).collect()
}

#[test]
fn the_past_is_judged_by_the_goal_of_its_time() {
    let limit = |open: u32, more: &str| format!("  - {{ id: few, form: limit, open: {open}{more} }}");
    let (three, four) = (limit(3, ""), limit(4, ""));
    let of = |files: &[&str]| revisions("pay", files);
    assert_eq!(of(&[&three]), ["at most 3 open .."], "a first goal has always been in force");
    assert_eq!(of(&[&three, &three]), ["at most 3 open .."]);
    assert_eq!(of(&[&three, &four]), ["at most 3 open ..02 12h", "at most 4 open 02 12h.."], "since it was applied");
    assert_eq!(of(&[&three, ""]), ["at most 3 open ..02 12h"], "left out");
    assert_eq!(of(&[&three, "", &three]), ["at most 3 open ..02 12h", "at most 3 open 03 12h.."]);
    let dated = format!("{}\n{}", limit(3, ", to: 2026-05-01"), limit(4, ", from: 2026-05-01"));
    assert_eq!(of(&[&three, &dated]), ["at most 3 open ..01 00h", "at most 4 open 01 00h.."], "dates decide");
    let later = limit(5, ", from: 2026-07-09");
    assert_eq!(of(&[&three, &four, &later]).len(), 3);
    assert_eq!(of(&[&three, &four, &later])[1..], ["at most 4 open 02 12h..09 00h", "at most 5 open 09 00h.."]);
    let said = "  - { id: few, sentence: We finish first., form: limit, open: 3 }";
    assert_eq!(of(&[&three, said]), ["at most 3 open .."], "another sentence is the same goal");
    let from_july = limit(3, ", from: 2026-07-09");
    assert_eq!(of(&[&from_july, &three]), ["at most 3 open 02 12h.."], "in force since it has no date any more");
    assert_eq!(of(&[&from_july, ""]), Vec::<String>::new(), "it never was in force");
    let of_web = "  - { id: few, team: pay, form: limit, open: 3 }";
    assert_eq!(revisions("web", &[&three, of_web]), ["at most 3 open ..02 12h"], "it is not for web any more");
}

#[test]
fn wrong_goals_say_where_and_what_to_do() {
    for (goal, code, help) in [
        ("{ id: a, form: metric, share: 0.8 }", "config.goal", "add, for example, `metric: docs-share`"),
        ("{ id: a, form: metric, metric: none, share: 0.8 }", "config.goal", "name one of `metrics` that is by week"),
        ("{ id: a, form: metric, metric: x, share: 0.8, within: 4h }", "config.goal", "leave it out"),
        (
            "{ id: a, form: metric, metric: x, share: 0.8, clock: working, hours: \"09:00-17:00\" }",
            "config.goal",
            "leave `clock` out",
        ),
        ("{ id: a, form: share, measure: pickup, within: 4h, share: 80 }", "config.goal", "write `share: 0.80`"),
        ("{ id: a, form: share, measure: pickup, within: 4h, share: 80% }", "config.goal", "write `share: 0.80`"),
        (
            "{ id: a, form: share, measure: pickup, within: 4h, share: 1 }",
            "config.goal",
            "for all of them write `form: each`",
        ),
        ("{ id: a, form: share, measure: pickup, within: 4h }", "config.goal", "add, for example, `share: 0.8`"),
        ("{ id: a, form: share, measure: pickup, within: 15d, share: 0.8 }", "config.goal", "write `14d` at most"),
        ("{ id: a, form: limit, open: 3, within: 4h }", "config.goal", "leave it out"),
        (
            "{ id: a, form: each, measure: mood, within: 4h }",
            "config.goal",
            "write one of: pickup, review, cycle_time, age",
        ),
        ("{ id: a, form: each, measure: age, within: 4 }", "config.window", "write `1h` to `366d`"),
        (
            "{ id: a, form: share, measure: pickup, within: 4x, share: 0.8 }",
            "config.window",
            "write hours or days, `1h` to `14d`",
        ),
        (
            "{ id: a, form: each, measure: age, within: 4x, clock: working, hours: \"09:00-17:00\" }",
            "config.window",
            "write a time in hours, for example `16h`",
        ),
        ("{ id: A Goal, form: limit, open: 3 }", "config.goal", "write `a-goal`"),
        ("{ id: a, team: web, form: limit, open: 3 }", "config.goal", "name a team of this file"),
        ("{ id: a, form: each, measure: age, within: 4h, clock: working }", "config.goal", "`hours: \"09:00-17:00\"`"),
        (
            "{ id: a, form: each, measure: age, within: 4h, clock: working, hours: \"17:00-09:00\" }",
            "config.goal",
            "write them like `\"09:00-17:00\"`",
        ),
        (
            "{ id: a, form: each, measure: age, within: 2d, clock: working, hours: \"09:00-17:00\" }",
            "config.goal",
            "write it in hours",
        ),
        (
            "{ id: a, form: each, measure: age, within: 4h, clock: working, hours: \"09:00-17:00\", days: [monday] }",
            "config.goal",
            "mon, tue",
        ),
        ("{ id: a, form: each, measure: age, within: 4h, free: [2026-12-24] }", "config.goal", "add it, or leave"),
        ("{ id: a, form: limit, open: 3, from: 2026-06-01, to: 2026-05-01 }", "config.period_order", "after `from`"),
        ("{ id: a, form: limit, open: 3 }\n  - { id: a, form: limit, open: 4 }", "config.goal", "end the former one"),
    ] {
        let found = problems(&with_goals(&format!("  - {goal}")));
        let problem = &found.list[0];
        assert_eq!((found.list.len(), problem.code), (1, code), "{goal}: {found}");
        assert!(problem.help.as_deref().is_some_and(|text| text.contains(help)), "{goal}: {found}");
        let line = if goal.contains('\n') { 6 } else { 5 };
        assert_eq!(problem.at.map(|at| at.line), Some(line), "{goal}");
    }
}
