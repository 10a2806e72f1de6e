-- For pandoc: a link of a deck leads from build/slides/ to where the page stands.
function Link(link)
    if not link.target:match('^%a[%w+.-]*:') then
        link.target = '../../docs/slides/' .. link.target
    end
    return link
end
