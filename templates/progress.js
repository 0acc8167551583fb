// While something takes long (a backup, a comparison): reads the page again every two seconds and shows how far it is. When there is nothing left
// to wait for, the page as it is then takes its place.
const progress = document.getElementById("progress");

async function look() {
  try {
    const answer = await fetch(location.pathname, { redirect: "error" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("progress");
    if (!fresh) {
      location.reload();
      return;
    }
    progress.replaceChildren(...fresh.childNodes);
    setTimeout(look, 2000);
  } catch {
    // Signed out, or the server is gone: the link on the page says so to whoever follows it.
  }
}

if (progress) {
  setTimeout(look, 2000);
}
