/*
 * The demo shop: what its pages do, and what they tell Muster. `window.shop` comes from /config.js: the pixel host, the
 * write key, the pixels' keys, and the segment whose members see the banner: by its rule, those with a cart under 100.
 *
 * Whether the banner is there is decided by Muster alone: by each answer to an event, and by nothing that the page
 * itself knows of the cart.
 */
(() => {
  "use strict";

  const PRODUCTS = [
    { sku: "kettle", name: "Whistling kettle", price: 49 },
    { sku: "mug", name: "Stoneware mug", price: 12 },
    { sku: "lamp", name: "Reading lamp", price: 79 },
    { sku: "candle", name: "Beeswax candle", price: 9 },
    { sku: "train", name: "Wooden train", price: 35 },
    { sku: "can", name: "Watering can", price: 24 },
  ];
  const LARGE_ORDER = 50;
  const find = (id) => document.getElementById(id);

  // --- What the browser keeps: the cart, and the answer about being remembered --------------------

  const readCart = () => JSON.parse(localStorage.getItem("shop-cart") || "{}");
  const readChoice = () => localStorage.getItem("shop-consent");
  const linesOf = (cart) => PRODUCTS.filter(({ sku }) => cart[sku]).map((one) => ({ ...one, count: cart[one.sku] }));
  const totalOf = (cart) => linesOf(cart).reduce((total, line) => total + line.price * line.count, 0);

  const productsOf = (cart) =>
    linesOf(cart).map(({ sku, name, price, count }) => ({ product_id: sku, name, price, quantity: count }));

  function changeCart(sku, by) {
    const cart = readCart();
    cart[sku] = Math.max(0, (cart[sku] || 0) + by);
    localStorage.setItem("shop-cart", JSON.stringify(cart));
    tellCart(cart);
    show();
  }

  function chosen() {
    const sku = new URLSearchParams(location.search).get("sku");
    return PRODUCTS.find((product) => product.sku == sku) || PRODUCTS[0];
  }

  // --- What Muster is told, and what it says -------------------------------------------------------

  const known = { segments: [], last: "nothing yet" };

  function connect() {
    muster.init(shop.key, { autoPage: false, consent: "required" });
    const script = document.createElement("script");
    script.src = shop.host + "/muster.js";
    document.head.append(script);
    if (readChoice()) muster.consent(readChoice() == "yes");
  }

  // Each answer says in which segments the visitor is now.
  async function hear(what, asked) {
    const reply = await asked;
    known.segments = reply.segments.map((segment) => segment.code);
    known.last = `${what}: ${reply.outcome}`;
    showKnown();
    return reply;
  }

  const track = (name, properties) => hear(name, muster.track(name, properties));

  // Pixels first: the answer to the event after them knows what they did.
  function tellPage(name) {
    muster.fire(shop.pixels.visit);
    if (name == "cart") fireCart(readCart());
    hear("page", muster.page(document.title));
    if (name == "product") track("product_view", chosen());
  }

  function fireCart(cart) {
    const total = totalOf(cart);
    if (total) muster.fire(shop.pixels.cart, { value: total });
  }

  function tellCart(cart) {
    fireCart(cart);
    track("cart_updated", { total: totalOf(cart), products: productsOf(cart) });
  }

  function buy() {
    const cart = readCart();
    const total = totalOf(cart);
    localStorage.removeItem("shop-cart");
    muster.fire(shop.pixels.order, { value: total });
    if (total > LARGE_ORDER) muster.fire(shop.pixels.largeOrder, { value: total });
    track("purchase", { total, currency: "EUR", products: productsOf(cart) });
    show();
  }

  function choose(choice) {
    localStorage.setItem("shop-consent", choice);
    muster.consent(choice == "yes");
    if (choice == "no") Object.assign(known, { segments: [], last: "nothing more is sent" });
    show();
  }

  // --- What is shown ----------------------------------------------------------------------------------

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function picture(sku) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "pictures.svg#" + sku);
    svg.setAttribute("class", "picture");
    svg.setAttribute("aria-hidden", "true");
    svg.append(use);
    return svg;
  }

  const price = (amount) => make("span", { className: "price" }, `${amount} €`);
  const button = (text, onclick, className = "") => make("button", { type: "button", onclick, className }, text);

  function tile({ sku, name, price: amount }) {
    return make("li", {}, make("a", { href: "product.html?sku=" + sku }, picture(sku), make("b", {}, name), price(amount)));
  }

  function line({ sku, name, price: amount, count }) {
    const remove = button("Remove", () => changeCart(sku, -count), "quiet");
    return make("li", {}, make("b", {}, name), `${count} ×`, price(amount), remove);
  }

  const pages = {
    home() {
      find("products").replaceChildren(...PRODUCTS.map(tile));
      find("letter").onsubmit = (event) => {
        event.preventDefault();
        hear("identify", muster.identify({ email: find("email").value }));
        find("thanks").value = "Thank you.";
      };
    },
    product() {
      const one = chosen();
      document.title = `${one.name} · Hearth & Home`;
      const add = button("Add to cart", () => {
        track("add_to_cart", { product_id: one.sku, name: one.name, price: one.price, quantity: 1 });
        changeCart(one.sku, 1);
      });
      const words = make("div", {}, make("h1", {}, one.name), make("p", {}, price(one.price)), add);
      find("product").replaceChildren(picture(one.sku), words);
    },
    cart() {
      find("buy").onclick = buy;
    },
  };

  function show() {
    const cart = readCart();
    const count = linesOf(cart).reduce((sum, one) => sum + one.count, 0);
    document.querySelectorAll("[data-cart-count]").forEach((place) => (place.textContent = count));
    if (find("lines")) {
      find("lines").replaceChildren(...linesOf(cart).map(line));
      find("sum").textContent = count ? `Total ${totalOf(cart)} €` : "There is nothing in it.";
      find("buy").hidden = !count;
    }
    showKnown();
  }

  function showKnown() {
    find("banner").hidden = !known.segments.includes(shop.banner);
    const choice = readChoice();
    const choices = ["yes", "no"].map((answer) => {
      const one = button(answer == "yes" ? "Yes" : "No", () => choose(answer));
      one.setAttribute("aria-pressed", choice == answer);
      return one;
    });
    find("strip").replaceChildren(
      make("span", { className: "choice" }, "May we remember your visit?", ...choices),
      make("span", {}, "Your segments: ", make("b", { id: "segments" }, known.segments.join(", ") || "none")),
      make("span", {}, "Last answer: ", make("b", { id: "last" }, known.last)),
    );
  }

  if (!window.shop) {
    find("strip").textContent = "The demo shop is not there yet. Look again in a moment, or run manage.py demo.";
    return;
  }
  connect();
  const name = document.body.dataset.page;
  pages[name]();
  show();
  tellPage(name);
})();
