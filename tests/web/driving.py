"""What a person does on the page of `unlearnable ui`, for tests that drive it."""


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def add(page, paths):
    page.locator("input[type=file]").first.set_input_files([str(path) for path in paths])
    page.get_by_text(f"{len(paths)} pictures: ").first.wait_for()


def choose(page, method, steps=0):
    page.get_by_role("button", name="Advanced").click()
    field = page.get_by_label("Method").first
    field.click()
    field.fill(method)
    page.get_by_role("option", name=method, exact=True).click()
    assert field.input_value() == method
    page.get_by_label("Steps", exact=True).first.fill(str(steps))
    page.keyboard.press("Tab")
