// Buttons that copy a text: the name of a tensor, a command.

const SHEETS = "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5z";
const TICK = "M3 8.5 6.5 12 13 4.5";

function copyButton(text, what) {
  const button = html("button", { type: "button", class: "copy", title: `Copy ${what}`, "aria-label": `Copy ${what}` });
  button.append(icon(SHEETS));
  button.addEventListener("click", async () => {
    const done = await copied(text);
    announcement.textContent = done ? `Copied ${what}` : "The browser does not let this page copy.";
    button.replaceChildren(icon(done ? TICK : SHEETS));
    button.classList.toggle("done", done);
    setTimeout(() => {
      button.replaceChildren(icon(SHEETS));
      button.classList.remove("done");
    }, 1500);
  });
  return button;
}

const icon = (path) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }));

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Some browsers keep their clipboard from pages that are files; selected text can be copied.
    const field = html("textarea", { readonly: "", "aria-hidden": "true", class: "away" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

// A command with its button; a shell takes it as it stands.
function command(text) {
  return html("li", {}, html("code", {}, text), copyButton(text, "this command"));
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

function commandFor(tensor) {
  const [before, after] = data.ofTensor;
  return before + quoted(tensor) + after;
}
