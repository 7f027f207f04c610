//! Posted to Slack and to Teams, as their documentation has it: <https://docs.slack.dev/reference/block-kit>,
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>.

use crate::{BOUND, failed_ids, project, row, run};
use handover_testkit::process::wait_for;
use handover_testkit::{Asked, Authority, HttpServer, Project, Reply};
use serde_json::{Value, json};

/// What a program says that would be markup there: mentions, links, bold, an entity, a mark that turns text around.
const BAD: &str = "<!channel> & <https://evil.example|x> *b* _i_ [l](https://evil.example) `c` \u{202e}@here";

/// A project whose program says it, told of to both at this server.
fn posting(server: &HttpServer) -> Project {
    let notify = format!(
        "health: {{ every: 200ms }}\nnotify:\n  - {{ slack: \"{0}/services/T0/B0/x\", on: [failed, recovered], group: 0s, \
         link: \"https://h.example/\" }}\n  - {{ teams: \"{0}/workflows/y\", on: [failed, recovered], group: 0s, \
         link: \"https://h.example/\" }}",
        server.url()
    );
    let project = Project::new(
        env!("CARGO_BIN_EXE_handover"),
        &format!(
            "apps:\n  in: {{ uses: file-importer, with: {{ from: ./in, pattern: \"*.csv\", type: sales }} }}\n  \
             picky: {{ run: \"sh fails.sh\", retries: 0 }}\nflows: {{ main: in -> picky }}\n{notify}\n"
        ),
    );
    project.write("fails.sh", format!("cat >&2 <<'END'\n{BAD}\nEND\nexit 1\n"));
    project.arrive("in/a.csv", "a\n1\n");
    project
}

/// The bodies that came to a path so far.
fn bodies(server: &HttpServer, path: &str) -> Vec<Value> {
    let asked = server.asked();
    let there = asked.iter().filter(|asked| asked.target == path).inspect(|asked| is_json(asked));
    there.map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect()
}

fn is_json(asked: &Asked) {
    assert_eq!((asked.method.as_str(), asked.header("content-type")), ("POST", Some("application/json")));
}

/// The keys of an object, which are no others than these.
fn only(object: &Value, keys: &[&str]) {
    for key in object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys() {
        assert!(keys.contains(&key.as_str()), "{key}: {object}");
    }
}

/// Holds a message against what Slack takes.
fn is_for_slack(message: &Value) {
    only(message, &["text", "blocks"]);
    assert!(!message["text"].as_str().unwrap().is_empty());
    let blocks = message["blocks"].as_array().unwrap();
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        only(block, &["type", "text"]);
        assert_eq!((&block["type"], &block["text"]["type"]), (&json!("section"), &json!("mrkdwn")));
        // Nothing in it is taken for a name of a channel or a person.
        assert_eq!(block["text"]["verbatim"], true);
        let text = block["text"]["text"].as_str().unwrap();
        assert!((1..=3_000).contains(&text.chars().count()), "{text}");
    }
}

/// Holds a message against what Teams takes: an Adaptive Card of version 1.2 in a message.
fn is_for_teams(message: &Value) {
    only(message, &["type", "attachments"]);
    assert_eq!(message["type"], "message");
    let [attachment] = &message["attachments"].as_array().unwrap()[..] else { panic!("{message}") };
    only(attachment, &["contentType", "contentUrl", "content"]);
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachment["contentUrl"], Value::Null);
    let card = &attachment["content"];
    only(card, &["$schema", "type", "version", "body", "actions"]);
    assert_eq!(card["$schema"], "http://adaptivecards.io/schemas/adaptive-card.json");
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.2")));
    for block in card["body"].as_array().unwrap() {
        only(block, &["type", "text", "wrap", "size", "weight", "color", "isSubtle", "spacing"]);
        assert_eq!((&block["type"], &block["wrap"]), (&json!("TextBlock"), &json!(true)));
        assert!(!block["text"].as_str().unwrap().is_empty());
        let known =
            |key: &str, values: &[&str]| block[key].as_str().is_none_or(|value| values.contains(&value));
        assert!(known("size", &["Medium"]) && known("weight", &["Bolder"]) && known("spacing", &["None"]));
        assert!(known("color", &["Good", "Warning", "Attention"]), "{block}");
    }
    for action in card["actions"].as_array().unwrap() {
        only(action, &["type", "title", "url"]);
        assert_eq!(
            (&action["type"], &action["url"]),
            (&json!("Action.OpenUrl"), &json!("https://h.example/health"))
        );
    }
}

#[test]
fn what_is_posted_to_slack_and_to_teams_is_what_they_take() {
    // As they answer: Slack in a word, a Teams workflow with 202.
    let server = HttpServer::start(|asked| match asked.target.starts_with("/services/") {
        true => Reply::new(200, "ok"),
        false => Reply::new(202, ""),
    });
    let project = posting(&server);
    let _running = project.start(&["run"]);
    let posted =
        |path: &str, nth: usize| wait_for(BOUND, "a message", || bodies(&server, path).get(nth).cloned());
    let (slack, teams) = (posted("/services/T0/B0/x", 0), posted("/workflows/y", 0));
    is_for_slack(&slack);
    let section = slack["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(section.starts_with("*FAILED* 1 delivery of picky failed, the last: "), "{section}");
    assert!(section.contains("&lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;"), "{section}");
    let links: Vec<&str> = section.match_indices('<').map(|(at, _)| &section[at..]).collect();
    assert!(links.len() == 1 && links[0].starts_with("<https://h.example/deliveries/"), "{section}");
    assert!(links[0].contains("|look>\n_handover why "), "{section}");
    is_for_teams(&teams);
    let body = &teams["attachments"][0]["content"]["body"];
    let text = body[1]["text"].as_str().unwrap();
    assert!(text.starts_with("FAILED: 1 delivery of picky failed, the last: "), "{text}");
    assert!(text.contains(r"\*b\* \_i\_ \[l\](https://evil.example) \`c\`"), "{text}");
    assert_eq!(body[1]["color"], "Attention");
    assert!(body[2]["text"].as_str().unwrap().starts_with("handover why "), "{body}");
    for message in [&slack, &teams] {
        assert!(!message.to_string().contains('\u{202e}'), "{message}");
    }
    // That it has ended is told in the same shape, without what to do.
    for id in failed_ids(&project) {
        run(&project, &["archive", &id]);
    }
    let (slack, teams) = (posted("/services/T0/B0/x", 1), posted("/workflows/y", 1));
    is_for_slack(&slack);
    is_for_teams(&teams);
    assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().starts_with("*RECOVERED* "), "{slack}");
    let body = teams["attachments"][0]["content"]["body"].as_array().unwrap();
    assert_eq!((body.len(), &body[1]["color"]), (2, &json!("Good")), "{teams}");
}

#[test]
fn a_server_of_an_own_authority_is_posted_to_where_it_is_trusted() {
    let authority = Authority::new();
    let server = HttpServer::encrypted(&authority, "localhost", |_| Reply::new(200, "ok"));
    let url = format!("https://localhost:{}", server.address().port());
    let tells = |tls: &str| {
        let target =
            |to: &str| format!("{{ {to}: \"{url}/{to}?token=geheim\", on: [failed], group: 0s{tls} }}");
        let targets = ["webhook", "slack", "teams"].map(target).join(", ");
        let project = project(&format!("notify: [ {targets} ]"));
        project.write("ca.pem", &authority.pem);
        project.arrive("in/a.csv", "a\nbad\n");
        run(&project, &["run", "--once"]);
        row(&project, "notices")
    };
    let seen = tells("");
    assert_eq!((seen.code, seen.verdict.as_str()), (1, "warn"));
    for part in [
        "3 notices are not delivered",
        "its certificate is not trusted",
        "UnknownIssuer",
        "tls: { ca: FILE }",
    ] {
        assert!(seen.text.contains(part), "{part}: {}", seen.text);
    }
    assert!(!seen.text.contains("geheim") && server.asked().is_empty(), "{}", seen.text);
    assert_eq!(tells(", tls: { ca: ca.pem }").verdict, "pass");
    let mut paths: Vec<String> = server.asked().into_iter().map(|asked| asked.target).collect();
    paths.sort();
    assert_eq!(paths, ["slack", "teams", "webhook"].map(|to| format!("/{to}?token=geheim")));
}
