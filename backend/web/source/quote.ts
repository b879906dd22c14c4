// The quote page, which is whole without this: only the countdown, and asking again.

import { countDown } from "./quotes.js";

const place = document.getElementById("quoted");
// From when the page was asked for: rather too soon expired than too late.
if (place) countDown(place, Date.now() - performance.now(), () => location.reload());
