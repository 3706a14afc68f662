/* Runs before the first paint, so that a chosen theme never flashes as the other one, and says
   to the style sheets that scripts run: a control that needs a script is shown only then. */
"use strict";

{
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  } catch {
    /* Storage is blocked: the system's theme stays. */
  }
}
